//! The directories that a power cut may leave.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

use rand_core::Rng;

use super::disk::{Disk, Inode, Op, Tree};
use super::strace::Recording;
use xlreg_testkit::Seeded;

/// Subsets tried at random, at each point.
const RANDOM_SUBSETS: usize = 3;
/// Subsets that leave one thing out, or keep only one, at each point.
const SINGLE: usize = 12;
/// Torn versions of each write.
const TORN: usize = 2;

/// What a power cut may leave.
pub struct Image {
    pub tree: Tree,
    pub moment: Moment,
    /// What was kept.
    what: String,
}

/// A point in what a program did.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Operations done before.
    pub after: usize,
    /// The last of them.
    last: String,
    /// What it had said by then.
    pub said: String,
}

impl Display for Image {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "after {} ({}), {}", self.moment.after, self.moment.last, self.what)
    }
}

impl Recording {
    /// What a disk leaves that drops half of what it said was flushed, at every point: the writes to
    /// files with these names. All else is kept.
    pub fn lies(&self, files: &[&str], rng: &mut Seeded) -> Vec<Image> {
        let inodes: HashSet<_> = files.iter().flat_map(|name| self.inodes(name)).collect();
        let lies = (1..=self.ops.len()).map(|after| {
            let is_lost = |op: &Op, rng: &mut Seeded| match op {
                Op::Write { file, .. } => inodes.contains(file) && rng.below(2) == 0,
                _ => false,
            };
            let kept = self.ops[..after].iter().filter(|op| !is_lost(op, rng)).cloned();
            let tree = self.keep(&kept.collect::<Vec<_>>());
            Image { tree, moment: self.moment(after), what: "a disk that lies".into() }
        });
        lies.collect()
    }

    /// Everything that ever had this name.
    fn inodes(&self, wanted: &str) -> Vec<Inode> {
        let linked = self.ops.iter().filter_map(|op| match op {
            Op::Link { name, child, .. } if name == wanted => Some(*child),
            Op::Rename { to: (_, name), child, .. } if name == wanted => Some(*child),
            _ => None,
        });
        linked.chain(self.before.named(wanted)).collect()
    }

    /// Every image, equal ones once; of those that keep a part of what was not flushed, so many at
    /// most, chosen by the generator. Those that keep all of it or nothing are always there.
    pub fn images(&self, most: usize, rng: &mut Seeded) -> Vec<Image> {
        let (mut seen, mut always, mut others) = (HashSet::new(), Vec::new(), Vec::new());
        for after in 0..=self.ops.len() {
            let moment = self.moment(after);
            for (n, (what, kept)) in self.choices(after, rng).into_iter().enumerate() {
                let tree = self.keep(&kept);
                // What was said is a part of what is known.
                if seen.insert((tree.fingerprint(), moment.said.clone())) {
                    let image = Image { tree, moment: moment.clone(), what };
                    if n < 2 { always.push(image) } else { others.push(image) }
                }
            }
        }
        println!("{} operations, {} images", self.ops.len(), always.len() + others.len());
        while always.len() + others.len() > most.max(always.len()) {
            others.swap_remove(rng.below(others.len()));
        }
        always.extend(others);
        always
    }

    fn moment(&self, after: usize) -> Moment {
        let said = self.ops[..after].iter().filter_map(|op| match op {
            Op::Said(text) => Some(text.as_str()),
            _ => None,
        });
        let mut last = after.checked_sub(1).map_or_else(String::new, |n| self.describe(n));
        last.truncate(160);
        Moment { after, last, said: said.collect() }
    }

    /// An operation without what it wrote.
    fn describe(&self, n: usize) -> String {
        match &self.ops[n] {
            Op::Write { file, at, bytes } => format!("{} bytes at {at} of {file}", bytes.len()),
            other => format!("{other:?}"),
        }
    }

    /// Which operations may have reached the disk when the power goes after so many of them. The
    /// first two: as little as possible, everything.
    fn choices(&self, after: usize, rng: &mut Seeded) -> Vec<(String, Vec<Op>)> {
        let ops = &self.ops[..after];
        let flushed = |n: &usize| {
            let flushes = |op: &Op, it| match op {
                Op::Flush { inode, before } => *inode == it && before > n,
                _ => false,
            };
            ops[*n].touches().into_iter().all(|it| ops.iter().any(|op| flushes(op, it)))
        };
        let pending: Vec<usize> =
            (0..after).filter(|n| !ops[*n].touches().is_empty() && !flushed(n)).collect();
        let keep = |lost: &dyn Fn(usize) -> bool| -> Vec<Op> {
            let kept = (0..after).filter(|n| !(pending.contains(n) && lost(*n)));
            kept.map(|n| ops[n].clone()).collect()
        };
        let mut choices = vec![
            ("what was flushed".into(), keep(&|_| true)),
            ("everything".into(), keep(&|_| false)),
        ];
        for _ in 0..SINGLE.min(pending.len()) {
            let one = pending[rng.below(pending.len())];
            let name = self.describe(one);
            choices.push((format!("all but {name}"), keep(&|n| n == one)));
            choices.push((format!("only {name}"), keep(&|n| n != one)));
        }
        for _ in 0..RANDOM_SUBSETS {
            let bits: Vec<bool> = ops.iter().map(|_| rng.next_u32().is_multiple_of(2)).collect();
            choices.push(("a random part".into(), keep(&|n| bits[n])));
        }
        // Torn: the last ones, since earlier ones were the last at another point.
        for &torn in pending.iter().rev().filter(|n| matches!(ops[**n], Op::Write { .. })).take(3) {
            let kept = keep(&|_| false);
            for n in 0..=TORN {
                let Op::Write { file, at, bytes } = &ops[torn] else { continue };
                let mut kept = kept.clone();
                let arrived = if n == 0 { 0 } else { rng.below(bytes.len()) };
                kept[torn] = match n {
                    0 => Op::Grow { file: *file, size: at + bytes.len() },
                    _ => Op::Write { file: *file, at: *at, bytes: bytes[..arrived].to_vec() },
                };
                let what = format!("all, {arrived} of {} bytes of {file}", bytes.len());
                choices.push((what, kept));
            }
        }
        choices
    }

    fn keep(&self, ops: &[Op]) -> Tree {
        let mut disk: Disk = self.before.clone();
        ops.iter().for_each(|op| disk.apply(op));
        disk.tree()
    }
}
