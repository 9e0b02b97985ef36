//! Seeds made by hand, in the form of each target's scripts: whole conversations, and disturbances
//! of them.

use super::{Seeds, sized};
use crate::captures::{self, Captured};

const DIALECTS: [(&str, u8); 2] = [("prefixed", 0), ("chained", 1)];

/// The seeds of each target that has some.
pub(super) fn all() -> Vec<(&'static str, Seeds)> {
    vec![
        ("chunking", chunking()),
        ("client_session", client_session()),
        ("pair", pair()),
        ("registry", registry()),
        ("store", store()),
    ]
}

/// Requests as `arbitrary::request` reads them.
const REGCRED: &[u8] = &[0];
const MEMBER: &[u8] = &[1, 0x80];
const UNSIGNED: &[u8] = &[1, 0x00];
const OVERSIZED: &[u8] = &[1, 0x10];
const NINE_ENDS: &[u8] = &[1, 0x20];
const COMES_BACK: &[u8] = &[1, 0x40];
const OTHER: &[u8] = &[1, 0x85];
const CREATE: &[u8] = &[3, 0x2c];
const JOIN: &[u8] = &[4, 0];
const JOIN_NAMED: &[u8] = &[4, 1];
const JOIN_BOTH: &[u8] = &[4, 0b0111];
const GET: &[u8] = &[5, 0, 0];
const GET_FIRST: &[u8] = &[5, 0, 2];
const BYE: &[u8] = &[7];

/// A member's whole enrollment.
const ENROLLMENT: [&[u8]; 7] = [REGCRED, MEMBER, CREATE, JOIN, GET, GET_FIRST, BYE];

/// The requests of each dialect's client and the answers of its registry, as captured.
fn captured(mut each: impl FnMut(&str, u8, &Captured)) {
    for (capture, (name, dialect)) in captures::all().into_iter().zip(DIALECTS) {
        for session in &capture.sessions {
            each(&format!("{name}-{}", session.identity), dialect, session);
        }
    }
}

/// The script for a captured request.
fn like(kind: &str) -> &'static [u8] {
    match kind {
        "Member" => MEMBER,
        "Create" => CREATE,
        "Join" => JOIN,
        "GetCluster" => GET,
        "Bye" => BYE,
        other => panic!("{other}"),
    }
}

fn client_session() -> Seeds {
    let mut seeds = Seeds::new();
    let asks = |request: &[u8]| [&[9], request].concat();
    for (name, dialect) in DIALECTS {
        let mut add = |kind: &str, script: &[Vec<u8>]| {
            seeds.insert(format!("{name}-{kind}"), [vec![dialect], script.concat()].concat());
        };
        let answer = vec![3, 1];
        let enrollment =
            ENROLLMENT.map(|request| [asks(request), answer.clone()].concat()).concat();
        add("enrollment", &[vec![0], enrollment.clone()]);
        add("late-hello", &[vec![1, 8, 16, 9, 0, 8, 15, 8, 255], enrollment]);
        let three = [MEMBER, CREATE, JOIN, GET].map(asks).concat();
        add("in-flight", &[vec![0], three, answer.repeat(4), asks(GET), answer.clone()]);
        add("refused", &[vec![0], asks(MEMBER), vec![3, 255], asks(BYE), vec![6, 255, 255]]);
        add("not-asked", &[vec![0], answer.clone()]);
        let wrong = [JOIN, UNSIGNED, OVERSIZED, NINE_ENDS, MEMBER, MEMBER, BYE, REGCRED];
        add("wrong", &[vec![0], wrong.map(asks).concat()]);
        add("late", &[vec![0], asks(MEMBER), vec![5, 29], answer, asks(GET), vec![5, 30]]);
        let slow = [asks(MEMBER), asks(CREATE), vec![5, 20, 3, 1, 5, 29, 5, 1]].concat();
        add("slow", &[vec![0], slow]);
        let other = [vec![0, 0], sized(&[8, 12])].concat();
        add("other-answer", &[vec![0], asks(MEMBER), asks(CREATE), other]);
        add("eof", &[vec![0], asks(MEMBER), vec![7]]);
        add(
            "noise",
            &[vec![0], asks(MEMBER), vec![1, 5], sized(&[8; 33]), vec![2, 1], sized(&[1; 40])],
        );
    }
    captured(|name, dialect, session| {
        let mut script = vec![dialect, 0];
        for step in session.steps.iter().skip(2) {
            match step.from_client {
                true => script.extend(asks(like(&step.kind))),
                false => script.extend([vec![0, 0], sized(&step.plain)].concat()),
            }
            if script.len() > 3000 {
                break;
            }
        }
        seeds.insert(name.into(), script);
    });
    seeds
}

fn chunking() -> Seeds {
    let (client, late, holds, odd) = (1, 2, 4, 8);
    let (eof, late_eof, silence) = (0x10, 0x20, 0x30);
    let cuts = sized(&[1, 15, 16, 17, 31, 47, 64, 200]);
    let none = sized(&[]);
    let mut seeds = Seeds::new();
    for (name, dialect) in DIALECTS {
        let mut add = |kind: &str, manner: u8, deeds: &[u8], parts: &[Vec<u8>]| {
            let head = [&[dialect, manner], deeds, &cuts].concat();
            seeds.insert(format!("{name}-{kind}"), [head, parts.concat()].concat());
        };
        let requests = ENROLLMENT.map(|request| [&[4], request].concat());
        add("server", 0, &none, &requests);
        add("server-late", late | holds | eof, &none, &requests[..6]);
        add("server-refuses", late_eof, &sized(&[0, 0, 255]), &requests);
        add("server-silence", late | silence, &none, &requests[..3]);
        add("server-wrong", late | holds, &none, &[requests[1].clone(), requests[1].clone()]);
        let block = [vec![1], sized(&[8, 1, 24])].concat();
        add("server-half-a-record", silence, &none, &[requests[0].clone(), block.clone()]);
        add("server-noise", eof, &none, &[requests[0].clone(), vec![2], sized(&[7; 33])]);
        add("server-few-bytes", late_eof, &none, &[requests[0].clone(), vec![2], sized(&[7; 3])]);
        add("server-odd", odd, &none, &[vec![60, 44], requests[0].clone()]);
        // Records of the largest size, and larger ones.
        let large = |op, n: u16| {
            let field =
                [&[8, op, 0x1a, (n & 0x7f) as u8 | 0x80, (n >> 7) as u8], &vec![8; n.into()][..]];
            [vec![0], sized(&field.concat())].concat()
        };
        let unfinished = [vec![0], sized(&[&large(1, 2042)[3..], &[0x88; 9]].concat())].concat();
        add("server-largest", 0, &none, &[large(1, 2043), requests[0].clone()]);
        add("server-too-large", 0, &none, &[large(1, 2044)]);
        add("server-too-large-late", 0, &none, &[unfinished]);
        let asks = sized(&ENROLLMENT.concat());
        add("client-largest", client, &asks, &[large(2, 2043)]);
        let replies: Vec<_> = (0..7).map(|op: u8| vec![5, op.min(4), 1]).collect();
        let replies = [&replies[..5], &[vec![5, 4, 3], vec![5, 5, 0]]].concat();
        add("client", client, &asks, &replies);
        add("client-holds", client | holds | eof, &asks, &replies[..5]);
        add("client-refused", client, &asks, &[replies[0].clone(), vec![5, 1, 255]]);
        add("client-silence", client | silence, &asks, &replies[..2]);
        add("client-changed", client, &asks, &[replies[0].clone(), vec![3, 70, 0, 1]]);
        add("client-half-a-record", client | late_eof, &asks, &[replies[0].clone(), block]);
    }
    captured(|name, dialect, session| {
        let mut requests = Vec::new();
        let mut parts = [Vec::new(), Vec::new()];
        for step in session.steps.iter().skip(2) {
            let part = &mut parts[usize::from(step.from_client)];
            if part.len() + step.plain.len() < 3000 {
                part.extend([vec![0], sized(&step.plain)].concat());
            }
            if step.from_client {
                requests.extend(like(&step.kind));
            }
        }
        let [down, up] = parts;
        let script =
            |manner, deeds: &[u8], parts| [&[dialect, manner], deeds, &cuts, parts].concat();
        seeds.insert(format!("{name}-up"), script(late, &none, &up));
        seeds.insert(format!("{name}-down"), script(client, &sized(&requests), &down));
    });
    seeds
}

fn pair() -> Seeds {
    let asks = |request: &[u8]| [&[0], request].concat();
    let all = vec![15];
    let mut seeds = Seeds::new();
    for (name, dialect) in DIALECTS {
        let mut add = |kind: &str, script: &[Vec<u8>]| {
            seeds.insert(format!("{name}-{kind}"), [vec![dialect], script.concat()].concat());
        };
        let enrollment = ENROLLMENT.map(|request| [asks(request), all.clone()].concat()).concat();
        let flight = [MEMBER, CREATE, JOIN].map(asks).concat();
        add("enrollment", &[vec![0, 15], enrollment.clone()]);
        add(
            "enrollment-late",
            &[vec![1, 15, 10], ENROLLMENT.map(|it| [asks(it), vec![15, 10, 15]].concat()).concat()],
        );
        add("flight", &[vec![0, 15], flight.clone(), all.clone(), asks(GET), asks(BYE)]);
        add("drops", &[vec![0, 6, 20, 0, 6, 1, 0, 6, 255, 0, 8, 3, 0, 8, 255, 0], flight.clone()]);
        add("no-bye", &[vec![0, 15], flight.clone(), all.clone()]);
        add("refused", &[vec![0, 15], asks(MEMBER), asks(JOIN_NAMED), asks(GET)]);
        add("nine-ends", &[vec![0, 15], asks(NINE_ENDS), asks(CREATE)]);
        let other = [OTHER, JOIN_NAMED].map(|request| [&[12], request].concat()).concat();
        add("others", &[vec![0, 15], flight.clone(), all.clone(), other, asks(GET), asks(BYE)]);
        add("both", &[vec![0, 15], flight.clone(), all.clone(), asks(JOIN_BOTH)]);
        add("comes-back", &[vec![0, 15], asks(COMES_BACK), asks(CREATE), asks(JOIN), all.clone()]);
        let many = asks(REGCRED).into_iter().chain(all.clone()).collect::<Vec<_>>().repeat(21);
        add("too-many", &[vec![0, 15], many]);
        for (kind, damage) in [("changed", 0), ("lost", 2), ("doubled", 4), ("more", 6)] {
            for (way, up) in [("up", 0), ("down", 1)] {
                let damage = vec![13, damage | up, 16, 1];
                let flight = [flight.clone(), vec![6, 255, 255, 8, 16, 0]].concat();
                let damaged = [vec![0, 15], flight.clone(), damage.clone(), all.clone()];
                add(&format!("{kind}-{way}"), &damaged);
                add(&format!("{kind}-{way}-hello"), &[vec![1], damage, all.clone()]);
            }
        }
        add("slow", &[vec![1, 15, 11, 9, 10, 15], asks(MEMBER), vec![15, 11, 31]]);
        add("closed-up", &[vec![0, 15], flight.clone(), vec![6, 255, 255, 14, 0]]);
        add("closed-down", &[vec![0, 15], flight, vec![14, 1]]);
    }
    seeds
}

fn registry() -> Seeds {
    let member = |at: u8, name: u8, keys: u8, id: u8| vec![at << 4 | 3, name, keys, id];
    let create =
        |at: u8, name: u8, size: u8, end_points: u8| vec![at << 4 | 6, name, size, end_points];
    let join = |at: u8, id: u8, name: u8| vec![at << 4 | 8, id, name];
    let get = |at: u8, id: u8, name: u8, which: &[u8]| [&[at << 4 | 12, id, name], which].concat();
    let (two_ends, unsigned) = (8, 0x80);
    let known = |n: u8| 64 + n;
    let mut seeds = Seeds::new();
    let mut add = |name: &str, limits: [u8; 3], script: &[Vec<u8>]| {
        seeds.insert(name.into(), [limits.to_vec(), script.concat()].concat());
    };
    let usual = [9, 3, 5];
    let ada = [member(0, 1, two_ends, 0), create(0, 1, 3, 2), join(0, 0, 0)].concat();
    add("enrollment", usual, &[ada.clone(), get(0, 0, 0, &[0]), vec![14, 15]]);
    let bob = [member(1, 2, two_ends | 1, 0), join(1, 0, 1)].concat();
    let third = [member(2, 3, two_ends | 2, 0), create(2, 1, 9, 1), join(2, 0, 0)].concat();
    add("created-twice", usual, &[ada.clone(), third]);
    let bits = get(1, known(2), 0, &[2, 1]);
    add("two", usual, &[ada.clone(), bob.clone(), get(0, 0, 1, &[1]), bits]);
    let again = [vec![0], member(0, 1, two_ends | 0x10, known(0)), join(0, 0, 1)].concat();
    add("comes-back", usual, &[ada.clone(), bob.clone(), again, get(0, 0, 0, &[0])]);
    let thief = [member(1, 2, two_ends | 1, known(0)), member(1, 2, two_ends | 1, known(1))];
    add("id-in-use", usual, &[ada.clone(), thief.concat(), member(1, 2, 9, 255)]);
    let namesake = [member(1, 1, two_ends | 1, 0), join(1, 0, 1)].concat();
    add("name-in-use", usual, &[ada.clone(), namesake]);
    add("unsigned", usual, &[member(0, 1, unsigned, 0), join(0, 0, 0)]);
    let odd = [create(0, 2, 0, 1), create(0, 2, 1, 3), create(0, 3, 200, 1), create(0, 1, 1, 1)];
    add("clusters", usual, &[ada.clone(), odd.concat(), create(0, 4, 1, 1), create(0, 5, 1, 1)]);
    add("few-ends", usual, &[ada.clone(), member(1, 2, 5, 200), join(1, known(1), 0)]);
    add("nowhere", usual, &[ada.clone(), join(0, 210, 0), join(0, 0, 9), get(1, 0, 0, &[0])]);
    add("ids-again", usual, &[ada.clone(), vec![1, 0], bob.clone(), create(1, 7, 2, 1)]);
    let last_free = [vec![1, 253], create(0, 7, 2, 1), vec![1, 0], create(0, 8, 2, 1)].concat();
    add(
        "ids-gone",
        [99, 99, 5],
        &[
            ada.clone(),
            last_free,
            [vec![1, 0], create(0, 9, 2, 1)].concat(),
            vec![1, 0],
            create(0, 10, 2, 1),
        ],
    );
    add("full", [2, 1, 1], &[ada.clone(), bob.clone(), member(2, 3, 10, 0), create(0, 5, 1, 1)]);
    let missing = |n: u8| vec![2, n];
    for n in 0..3 {
        add(&format!("without-{n}"), usual, &[ada.clone(), bob.clone(), missing(n)]);
    }
    let crowd = (0..66).flat_map(|n: u8| {
        [member(1, n, two_ends | (n % 4), 0), join(1, 0, 1), vec![0x10]].concat()
    });
    let boss = [member(0, 100, two_ends, 0), create(0, 1, 255, 1)].concat();
    add("crowd", [99, 3, 99], &[boss, crowd.collect(), get(0, 0, 0, &[1])]);
    seeds
}

/// Operations on a store, as its body reads them: two nodes in one cluster, and what happens to
/// them.
fn store() -> Seeds {
    const TWO_IN_A_CLUSTER: &[&[u8]] = &[
        // A commit of four changes: two nodes, a cluster, a member.
        &[0, 3, 0, 1, 1, 0, 2, 2, 3, 1, 1, 6, 1, 1],
        // A commit of two: another member, and the first one says something else.
        &[0, 1, 6, 2, 1, 7, 1, 1],
    ];
    const ANOTHER_CLUSTER: &[u8] = &[1, 3, 3, 2, 2, 1, 2];
    let ends: [(&str, &[&[u8]]); 12] = [
        ("stop", &[&[5], ANOTHER_CLUSTER, &[5]]),
        ("checkpoint", &[&[6], &[0, 0, 2, 1, 9], &[6], &[5]]),
        ("used", &[&[0, 1, 2, 1, 200, 2, 2, 201], &[5]]),
        ("deleted", &[&[0, 0, 4, 0, 1], &[5], &[0, 0, 3, 1, 1]]),
        (
            "list",
            &[&[0, 0, 5, 2, 0, 4, 0, 1, 3, 1, 1], &[0, 0, 5, 3, 0, 2, 1, 9, 4, 0, 1, 2, 9, 9]],
        ),
        ("cut-short", &[&[7, 0, 3, 2, 2, 100, 0, 0], &[5]]),
        ("cut-blank", &[&[7, 1, 3, 2, 2, 6, 3, 2, 0, 2, 1], &[5]]),
        ("cut-in-between", &[&[7, 0, 4, 0, 1, 24, 0, 2], &[5]]),
        ("half-moved", &[&[8, 0b0101_0101], ANOTHER_CLUSTER, &[8, 0b1110_0001], &[5]]),
        ("damaged-file", &[&[5], &[9, 0, 0, 40, 1, 2, 1], &[9, 0, 1, 0, 0, 3, 255, 9, 0, 0]]),
        ("damaged-log", &[&[9, 1, 0, 2, 0, 2, 128], &[9, 1, 0, 40, 0, 0], ANOTHER_CLUSTER]),
        (
            "damaged-counter",
            &[&[9, 2, 0, 0, 0, 2, 1], &[9, 2, 0, 0, 0, 0], &[9, 2, 0, 8, 0, 1, 1, 0, 7]],
        ),
    ];
    let mut seeds = Seeds::new();
    for (name, end) in ends {
        seeds.insert(name.into(), [TWO_IN_A_CLUSTER, end].concat().concat());
    }
    seeds
}
