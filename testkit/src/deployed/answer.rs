//! The answers of a deployed server, and its deaths.

use xlreg::message::Refusal;

use super::connection::{End, Stage};
use super::member::{bytes, number};
use super::server::Cluster;
use super::{Cause, Connection, DeployedServer, Member};
use crate::peer::{Msg, Value};

fn refused<T>(refusal: Refusal) -> Result<T, End> {
    Err(End::Refused(refusal.as_str().into()))
}

/// Makes a CreateReply or a JoinReply.
fn reply(op: u64, cluster: &Cluster, attrs: u64) -> Msg {
    let reply = Msg::new().varint(1, op).bytes(13, &cluster.id).varint(15, cluster.max_size);
    reply.varint(16, attrs).varint(17, cluster.end_point_count)
}

/// Reads the Op, legal or not. The last one counts.
fn op(message: &Msg) -> Result<u64, Cause> {
    let mut ops = message.0.iter().filter(|(n, _)| *n == 1).map(|(_, value)| value);
    if ops.clone().any(|value| !matches!(value, Value::Varint(_))) {
        return Err(Cause::OpWireType);
    }
    match ops.next_back() {
        Some(Value::Varint(op)) => Ok(*op),
        _ => Err(Cause::NoOp),
    }
}

impl Connection {
    pub(super) fn answer(
        &mut self,
        server: &mut DeployedServer,
        message: &Msg,
    ) -> Result<Msg, End> {
        let op = op(message)?;
        server.log.push((self.number, op));
        // An even Op counts as its neighbour: the server halves its distance to 3.
        match (op, self.stage) {
            (0 | 1 | 13.., _) => Err(Cause::BadOp(op).into()),
            (2..=4, Stage::Open) => self.member(server, message),
            (5 | 6, Stage::Known) => self.create(server, message),
            (7 | 8, Stage::Known | Stage::Created) => self.join(server, message),
            (9 | 10, Stage::Joined) => get(server, message),
            (11 | 12, Stage::Known | Stage::Created | Stage::Joined) => {
                // After that the server waits for the client to close.
                self.stage = Stage::Bye;
                Ok(Msg::new().varint(1, 12))
            }
            _ => refused(Refusal::WrongState),
        }
    }

    fn member(&mut self, server: &mut DeployedServer, message: &Msg) -> Result<Msg, End> {
        // The text of its refusal without specs is not known.
        let Some(specs) = bytes(message, 11) else { return refused(Refusal::UnexpectedOp) };
        let specs = Msg::try_decode(specs).ok_or(End::Closed)?;
        let member = Member::of_specs(&specs, server.new_id())?;
        let reply = Msg::new().varint(1, 4).bytes(9, &member.id).varint(10, member.attrs);
        self.member = Some(member);
        self.stage = Stage::Known;
        Ok(reply)
    }

    fn create(&mut self, server: &mut DeployedServer, message: &Msg) -> Result<Msg, End> {
        if server.is_busy() {
            return refused(Refusal::NameInUse);
        }
        let name = bytes(message, 14).unwrap_or_default();
        let [size, attrs, end_points] =
            [15, 16, 17].map(|n| number(message, n).unwrap_or_default());
        if server.cluster(|cluster| cluster.name == name).is_none() {
            self.made = Some(server.create(name, size, end_points));
        }
        self.stage = Stage::Created;
        // The attrs are echoed, but not kept.
        let made = server.cluster(|cluster| cluster.name == name);
        Ok(reply(6, made.expect("it was there or was made"), attrs))
    }

    fn join(&mut self, server: &mut DeployedServer, message: &Msg) -> Result<Msg, End> {
        let cluster = self.cluster_to_join(server, message)?;
        let member = self.member.clone().expect("a session that said Member");
        if cluster.members.iter().any(|other| other.name == member.name) {
            return refused(Refusal::MemberNameInUse);
        }
        cluster.members.push(member);
        self.stage = Stage::Joined;
        Ok(reply(8, cluster, 0))
    }

    /// Finds the cluster of a Join: by ID, otherwise by name, otherwise the one that this session
    /// has made. For any other the server follows an empty pointer.
    fn cluster_to_join<'a>(
        &self,
        server: &'a mut DeployedServer,
        message: &Msg,
    ) -> Result<&'a mut Cluster, Cause> {
        let (id, name) = (bytes(message, 13), bytes(message, 14));
        match (id, name, &self.made) {
            (Some(id), ..) => {
                let found = server.cluster(|cluster| cluster.id == id);
                found.ok_or_else(|| match id.len() {
                    0 => Cause::JoinOfEmptyId,
                    20 | 32 => Cause::JoinOfUnknownId(id.into()),
                    bytes => Cause::JoinOfBadId { bytes },
                })
            }
            (None, Some([]), _) => Err(Cause::JoinOfEmptyName),
            (None, Some(name), _) => {
                let found = server.cluster(|cluster| cluster.name == name);
                let name = String::from_utf8_lossy(name).into_owned();
                found.ok_or(Cause::JoinOfUnknownName(name))
            }
            (None, None, Some(made)) => {
                server.cluster(|cluster| cluster.id == *made).ok_or(Cause::JoinOfNothing)
            }
            (None, None, None) => Err(Cause::JoinOfNothing),
        }
    }
}

/// Answers a GetCluster for any cluster. The name is never read.
fn get(server: &mut DeployedServer, message: &Msg) -> Result<Msg, End> {
    let Some(id) = bytes(message, 13) else {
        return Err(End::Refused("nil key parameter".into()));
    };
    let Some(cluster) = server.cluster(|cluster| cluster.id == id) else {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let words = format!("doGetMsg: can't find cluster with ID {id}");
        return Err(End::Refused(words));
    };
    let asked = number(message, 20).unwrap_or_default();
    let listed = cluster.members.iter().take(64).enumerate();
    let listed: Vec<_> = listed.filter(|(index, _)| asked >> index & 1 == 1).collect();
    let which = listed.iter().fold(0, |which, (index, _)| which | 1 << index);
    let reply = Msg::new().varint(1, 10).bytes(13, id).varint(20, which);
    Ok(listed.iter().fold(reply, |reply, (_, member)| reply.msg(21, &member.token())))
}
