//! The end-of-record rule against a model of it, written from the text of PROTOCOL 4.1 over the
//! whole plaintext.
use xlreg::internals;

use crate::input::Input;

/// The result of the rule for a plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The lengths of message and record.
    End(usize, usize),
    More,
    Bad,
}

/// A script: the limit, the steps in which plaintext arrives, and the plaintext, of which only
/// whole blocks count.
pub fn record_end(data: &[u8]) {
    let input = &mut Input::new(data);
    let limit = match input.short() {
        0xffff => usize::MAX,
        limit => limit,
    };
    let step = usize::from(input.byte());
    let plain = input.rest();
    let plain = &plain[..plain.len() - plain.len() % 16];

    let answer = model(plain, limit);
    as_asked(plain, limit, answer);
    for step in [step, usize::MAX] {
        in_steps(plain, limit, step, answer);
    }
    // Block by block, the result comes as early as possible, so it does not depend on later bytes.
    let blocks = in_steps(plain, limit, 1, answer);
    if answer != Answer::More {
        assert_eq!(model(&plain[..blocks * 16], limit), answer);
        let before = &plain[..blocks.saturating_sub(1) * 16];
        assert_eq!(model(before, limit), Answer::More);
        as_asked(before, limit, Answer::More);
    }
}

/// With the number of blocks that it asks for, the walk ends where the record ends: a reader
/// decrypts nothing beyond it, and has room.
fn as_asked(plain: &[u8], limit: usize, answer: Answer) {
    let mut asked = 0;
    let walked = walked(plain, limit, |blocks| {
        asked = blocks.saturating_mul(16);
        assert!(
            asked <= limit.saturating_add(48),
            "{asked} bytes are more than a reader has room for"
        );
        blocks
    });
    assert_eq!(walked, answer, "as much as it asks for");
    match answer {
        Answer::End(message, record) => {
            assert_eq!(asked, record, "no byte past the record");
            assert!(message <= limit);
        }
        Answer::More => assert!(asked > plain.len()),
        Answer::Bad => assert!(asked <= plain.len()),
    }
}

/// The number of blocks until the result.
fn in_steps(plain: &[u8], limit: usize, step: usize, answer: Answer) -> usize {
    let mut given = 0_usize;
    let walked = walked(plain, limit, |_| {
        given = given.saturating_add(step.max(1));
        given
    });
    assert_eq!(walked, answer, "{step} blocks at a time");
    given
}

fn walked(plain: &[u8], limit: usize, step: impl FnMut(usize) -> usize) -> Answer {
    match internals::record_end(plain, limit, step) {
        Ok(Some((message, record))) => Answer::End(message, record),
        Ok(None) => Answer::More,
        Err(_) => Answer::Bad,
    }
}

/// PROTOCOL 4.1 in its own words, and two rules of protobuf: a tag has 32 bits, and any other
/// varint has 64.
fn model(plain: &[u8], limit: usize) -> Answer {
    let mut p = 0;
    loop {
        let n = 16 - p % 16;
        let rest = plain.get(p..).unwrap_or_default();
        let next = &rest[..n.min(rest.len())];
        if next.iter().all(|byte| usize::from(*byte) == n) {
            return if next.len() == n { Answer::End(p, p + n) } else { Answer::More };
        }
        let end = match field(rest) {
            Ok(len) => p as u128 + len,
            Err(answer) => return answer,
        };
        // A record has padding behind its message.
        if end > limit.min(usize::MAX - 16) as u128 {
            return Answer::Bad;
        }
        p = usize::try_from(end).expect("it is within the limit");
    }
}

/// The length of the field that starts here.
fn field(bytes: &[u8]) -> Result<u128, Answer> {
    let (tag, tag_len) = varint(bytes)?;
    if tag >> 32 != 0 || tag >> 3 == 0 {
        return Err(Answer::Bad);
    }
    let value = &bytes[tag_len..];
    let value_len = match tag & 7 {
        0 => varint(value)?.1 as u128,
        1 => 8,
        2 => {
            let (len, len_len) = varint(value)?;
            len_len as u128 + len
        }
        5 => 4,
        _ => return Err(Answer::Bad),
    };
    Ok(tag_len as u128 + value_len)
}

/// Value and length.
fn varint(bytes: &[u8]) -> Result<(u128, usize), Answer> {
    let ten = &bytes[..bytes.len().min(10)];
    let Some(last) = ten.iter().position(|byte| byte & 0x80 == 0) else {
        return Err(if ten.len() == 10 { Answer::Bad } else { Answer::More });
    };
    let value = (0..=last).map(|at| u128::from(ten[at] & 0x7f) << (7 * at)).sum();
    if value > u128::from(u64::MAX) { Err(Answer::Bad) } else { Ok((value, last + 1)) }
}
