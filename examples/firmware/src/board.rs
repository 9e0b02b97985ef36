//! The machine: two UARTs and the timer of a Cortex-M4F board, "mps2-an386" in the emulator. To put
//! the example on another, replace this file and `memory.x`.
//!
//! `unsafe` is for registers, whose addresses are the board's, and for turning interrupts on.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::ptr;
use core::time::Duration;

use cortex_m::Peripherals;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{ExceptionFrame, exception};
use cortex_m_semihosting::debug;
use critical_section::Mutex;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::Deque;
use xlreg::adapter::Timer;
use xlreg::session::Instant;

/// Cycles in a second.
const FREQUENCY: u32 = 25_000_000;
/// Bits in a second, on either UART.
const BAUD: u32 = 115_200;

/// What the program is given.
pub struct Board {
    /// The line to the registry.
    pub link: Uart,
    /// The line to people.
    pub console: Console,
    /// Starts at zero.
    pub clock: Clock,
}

impl Board {
    /// Starts everything; the second time there is nothing left to start.
    pub fn take() -> Option<Self> {
        let mut syst = Peripherals::take()?.SYST;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(FREQUENCY / 1000 - 1);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        for port in [LINK, CONSOLE] {
            port.write(Register::Divider, FREQUENCY / BAUD);
        }
        CONSOLE.write(Register::Control, SEND);
        LINK.write(Register::Control, SEND | RECEIVE | TELL_RECEIVED);
        // SAFETY: it breaks no critical section, since there is none here.
        unsafe { NVIC::unmask(LinkReceived) };
        Some(Self { link: Uart(()), console: Console(()), clock: Clock(()) })
    }
}

/// NOT RANDOM: the emulated board has no source of randomness, so this is a constant, and whoever
/// reads it can read every session. Real hardware MUST read 32 bytes from its true random number
/// generator (TRNG) here, check that generator's health bits, and not go on without.
pub fn entropy() -> [u8; 32] {
    [0x2a; 32]
}

/// Ends the program, for whoever started the emulator. Real hardware would start again, after a
/// while.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Milliseconds since the start. 64 bits are two loads here, hence the lock.
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

#[exception]
fn SysTick() {
    critical_section::with(|cs| {
        let millis = MILLIS.borrow(cs);
        millis.set(millis.get() + 1);
    });
}

/// The time since the start, to the millisecond.
#[derive(Clone, Copy)]
pub struct Clock(());

impl Timer for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(critical_section::with(|cs| MILLIS.borrow(cs).get()) * 1000)
    }

    fn sleep(&mut self, time: Duration) {
        let until = self.now().saturating_add(time);
        while self.now() < until {
            // An interrupt between the two is no loss: the next tick is near.
            cortex_m::asm::wfi();
        }
    }
}

/// A CMSDK UART. It has room for one byte each way.
#[derive(Clone, Copy)]
struct Port(usize);

const LINK: Port = Port(0x4000_4000);
const CONSOLE: Port = Port(0x4000_5000);

/// Offsets of its registers.
#[derive(Clone, Copy)]
enum Register {
    Data = 0x00,
    State = 0x04,
    Control = 0x08,
    /// Which interrupts are due; ones clear them.
    Interrupts = 0x0c,
    Divider = 0x10,
}

// State: no room to send, something received.
const FULL: u32 = 1 << 0;
const RECEIVED: u32 = 1 << 1;
// Control.
const SEND: u32 = 1 << 0;
const RECEIVE: u32 = 1 << 1;
const TELL_RECEIVED: u32 = 1 << 3;
/// The time that one byte takes on the line, with much to spare, in looks at the state.
const BYTE_TIME: u32 = 10_000;

impl Port {
    fn register(self, register: Register) -> *mut u32 {
        ptr::with_exposed_provenance_mut(self.0 + register as usize)
    }

    fn read(self, register: Register) -> u32 {
        // SAFETY: the two ports above are at these addresses, and nothing else is.
        unsafe { self.register(register).read_volatile() }
    }

    fn write(self, register: Register, value: u32) {
        // SAFETY: as above; a UART writes no memory, whatever it is told.
        unsafe { self.register(register).write_volatile(value) }
    }

    fn is(self, state: u32) -> bool {
        self.read(Register::State) & state != 0
    }

    /// Sends a byte; `false` if the line does not take it in good time.
    fn send(self, byte: u8) -> bool {
        let room = (0..BYTE_TIME).any(|_| !self.is(FULL));
        if room {
            self.write(Register::Data, byte.into());
        }
        room
    }
}

/// What has come from the registry and has not been read: more than comes in a millisecond.
static RECEIVED_BYTES: Mutex<RefCell<Deque<u8, 512>>> = Mutex::new(RefCell::new(Deque::new()));

/// The interrupt "UART 0 has received", the only one that is on.
#[derive(Clone, Copy)]
struct LinkReceived;

// SAFETY: the number is the board's.
unsafe impl InterruptNumber for LinkReceived {
    fn number(self) -> u16 {
        0
    }
}

// SAFETY: an interrupt may call this any time, and nobody else does; the queue is behind a lock.
#[exception]
unsafe fn DefaultHandler(_: i16) {
    critical_section::with(|cs| fill(&mut RECEIVED_BYTES.borrow_ref_mut(cs)));
}

/// Takes what the UART holds for as long as there is room; then it is not to tell any more, until
/// somebody reads.
fn fill(queue: &mut Deque<u8, 512>) {
    LINK.write(Register::Control, SEND | RECEIVE | TELL_RECEIVED);
    loop {
        // First cleared, then looked for: what comes in between is told again.
        LINK.write(Register::Interrupts, u32::MAX);
        if !LINK.is(RECEIVED) {
            return;
        }
        if queue.is_full() {
            return LINK.write(Register::Control, SEND | RECEIVE);
        }
        let _ = queue.push_back(LINK.read(Register::Data) as u8);
    }
}

/// The line to the registry, as a stream.
///
/// Real lines lose bytes, and a UART cannot tell that the peer has hung up: put a network, or a
/// framing that repeats what was lost, in its place.
pub struct Uart(());

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(critical_section::with(|cs| !RECEIVED_BYTES.borrow_ref(cs).is_empty()))
    }
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while !buffer.is_empty() && !self.read_ready()? {
            cortex_m::asm::wfi();
        }
        critical_section::with(|cs| {
            let mut queue = RECEIVED_BYTES.borrow_ref_mut(cs);
            let mut n = 0;
            for (to, byte) in buffer.iter_mut().zip(core::iter::from_fn(|| queue.pop_front())) {
                *to = byte;
                n += 1;
            }
            fill(&mut queue);
            Ok(n)
        })
    }
}

impl WriteReady for Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!LINK.is(FULL))
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(0) };
        while !LINK.send(*first) {}
        Ok(1 + rest.iter().take_while(|byte| LINK.send(**byte)).count())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The line to people; what it does not take is lost.
pub struct Console(());

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            CONSOLE.send(byte);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Console(()), "{info}");
    exit(false)
}

// SAFETY: it touches nothing that whoever was interrupted could have half changed.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let _ = writeln!(Console(()), "fault: {frame:?}");
    exit(false)
}
