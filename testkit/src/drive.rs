//! A machine over a transport, driven to its end.

use xlreg::adapter::{DriveError, Driver, Timer, Transport};
use xlreg::session::Machine;

/// Every event of a machine, and how it ended.
type Told<M, T> = (
    Vec<<M as Machine>::Event>,
    Result<(), DriveError<<M as Machine>::Error, <T as Transport>::Error>>,
);

/// Drives a machine until it ends.
pub fn to_the_end<M: Machine, T: Transport, C: Timer>(mut driver: Driver<M, T, C>) -> Told<M, T> {
    let mut events = Vec::new();
    loop {
        match driver.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}
