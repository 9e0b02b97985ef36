//! The registry's rules against a model of them, with any requests of several clients; and its
//! changes, replayed.
use xlreg::identity::{ClusterAttrs, MemberAttrs, NodeId, Token};
use xlreg::internals::encode_reply;
use xlreg::message::{ClusterRef, Create, GetCluster, MemberSet, Reply, Request};
use xlreg::registry::{Change, CheckedRequest, ClientState, Outcome, Registry, RegistryLimits};
use xlreg_testkit::captures::credential;
use xlreg_testkit::model::{Answered, Model, check_bounds};
use xlreg_testkit::{NoRsa, SequentialRng};

use crate::arbitrary::{end_points, key, name};
use crate::input::Input;

const CLIENTS: usize = 4;

/// The number of operations in a script. About 200 fill a cluster of 64.
const MOST: usize = 256;

/// A script: the limits, then operations of one byte with their operands.
pub fn registry(data: &[u8]) {
    let input = &mut Input::new(data);
    let limits = RegistryLimits {
        nodes: input.byte().into(),
        clusters: input.byte().into(),
        memberships: input.byte().into(),
        ..RegistryLimits::NONE
    };
    let mut registry = Registry::new(credential(), limits);
    let mut model = Model::new(credential(), limits, CLIENTS);
    let mut clients: [ClientState; CLIENTS] = Default::default();
    let (mut ids, mut changes, mut missing) = (SequentialRng(0), Vec::new(), None);
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let op = input.byte();
        let at = usize::from(op >> 4) % CLIENTS;
        match op % 16 {
            0 => {
                clients[at] = ClientState::new();
                model.hang_up(at);
            }
            1 => ids.0 = input.byte(),
            2 => missing = Some(usize::from(input.byte())),
            op => {
                let request = request(&model, op, input);
                let first = ids.0;
                let outcome = handle(&mut registry, &mut clients[at], request.clone(), &mut ids);
                let draws = ids.0.wrapping_sub(first);
                let drawn = (0..draws).map(|n| SequentialRng::id(first.wrapping_add(n)));
                judge(&mut model, at, &request, &outcome, &drawn.collect::<Vec<_>>());
                changes.extend(outcome.change);
                assert_eq!(registry.revision(), changes.len() as u64, "one for each change");
                assert_eq!(outcome.revision, registry.revision());
                assert_eq!(clients[at].member().map(|(id, _)| id), model.id_of(at));
                model.check_counts(&registry);
            }
        }
    }
    model.check(&registry);
    replay(&registry, limits, &changes, missing);
}

fn handle(
    registry: &mut Registry,
    state: &mut ClientState,
    request: Request,
    ids: &mut SequentialRng,
) -> Outcome {
    match CheckedRequest::new(request, &NoRsa) {
        Ok(checked) => registry.handle_checked(state, checked, ids),
        Err(refusal) => {
            let (reply, revision) = (Reply::Error(refusal.into()), registry.revision());
            Outcome { reply, change: None, revision }
        }
    }
}

/// Checks the answer against the rules. `drawn` are the IDs that were drawn for it.
fn judge(model: &mut Model, at: usize, request: &Request, outcome: &Outcome, drawn: &[NodeId]) {
    let reply = &outcome.reply;
    let forged = matches!(request, Request::Member(Token { signature: None, .. }));
    let changed = outcome.change.is_some();
    let answered = Answered { reply, changed: Some(changed), forged, drawn: Some(drawn) };
    let expected = model.judge(at, request, &answered);
    if let Some(expected @ Reply::Members(_)) = expected {
        assert_eq!(encode_reply(reply), encode_reply(&expected), "a member's kept bytes are stale");
    }
}

/// Checks that the changes rebuild the registry, in their order and as a snapshot. If one is
/// missing, later ones that do not follow are refused and change nothing.
fn replay(registry: &Registry, limits: RegistryLimits, changes: &[Change], missing: Option<usize>) {
    let empty = Registry::new(credential(), limits);
    for changes in [changes, &registry.changes()] {
        let mut again = empty.clone();
        changes.iter().for_each(|change| again.apply(change).expect("it follows"));
        assert_eq!((&again, again.revision()), (registry, changes.len() as u64));
        assert_eq!(again.size().memberships, registry.size().memberships);
    }
    if let Some(missing) = missing.filter(|missing| *missing < changes.len()) {
        let (mut lame, mut applied) = (empty, 0);
        for (_, change) in changes.iter().enumerate().filter(|(n, _)| *n != missing) {
            let before = lame.clone();
            match lame.apply(change) {
                Ok(()) => applied += 1,
                Err(_) => assert_eq!(lame, before, "refused, and changed something"),
            }
            assert_eq!(lame.revision(), applied);
        }
        check_bounds(&lame);
    }
}

/// The next request of the script.
fn request(model: &Model, op: u8, input: &mut Input<'_>) -> Request {
    match op {
        3..=5 => {
            let (named, keys, id) = (input.byte(), input.byte(), id(model, input.byte()));
            let signature = (keys & 0x80 == 0).then(|| Vec::from([7]));
            Request::Member(Token {
                name: name(named),
                attrs: MemberAttrs::from_bits(u64::from(keys >> 4)),
                id,
                comms_key: key(keys >> 4),
                sig_key: key(keys),
                end_points: end_points(keys >> 2 & 3),
                signature,
            })
        }
        6 | 7 => Request::Create(Create {
            name: name(input.byte()),
            max_size: u32::from(input.byte()),
            attrs: ClusterAttrs::from_bits(u64::from(op & 1)),
            end_point_count: u32::from(input.byte()),
        }),
        8..=11 => Request::Join(cluster(model, input)),
        12 | 13 => {
            let cluster = cluster(model, input);
            let which = match input.byte() {
                0 => None,
                1 => Some(u64::MAX),
                n => Some(u64::from(n) << (input.byte() % 64)),
            };
            Request::GetCluster(GetCluster { cluster, which: which.map(MemberSet::from_bits) })
        }
        14 => Request::RegCred,
        _ => Request::Bye,
    }
}

/// No ID, one that the registry has issued or accepted, its own, or a new one.
fn id(model: &Model, byte: u8) -> Option<NodeId> {
    match byte {
        0..64 => None,
        64..192 => model.ids().nth((byte - 64).into()),
        192..254 => Some(SequentialRng::id(byte - 192)),
        254 => NodeId::from_bytes(&[9; 20]).ok(),
        255 => Some(credential().id),
    }
}

fn cluster(model: &Model, input: &mut Input<'_>) -> ClusterRef {
    let id = id(model, input.byte());
    let name = match input.byte() {
        0 => None,
        n => Some(name(n)),
    };
    ClusterRef { id, name }
}
