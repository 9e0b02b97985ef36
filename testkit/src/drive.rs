//! Driving a machine over a transport to its end.

use xlreg::adapter::{DriveError, Driver, Timer, Transport};
use xlreg::session::Machine;

/// The events of a machine, and its end.
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
