//! Whole enrollments in memory, without RSA: an `Enroll` and a registry's session with scripted
//! answers.

use xlreg::credential::Credential;
use xlreg::enroll::{Enroll, Plan};
use xlreg::identity::{ClusterAttrs, MemberAttrs, NodeId, Token, Version};
use xlreg::message::{ClusterInfo, Create, MemberEntry, MemberList, MemberSet, Reply, Request};
use xlreg::session::{
    ClientConfig, Instant, Limits, Machine, Server, ServerConfig, ServerEvent, Session,
};

use crate::{Seeded, credential, identity, served, token};
use xlreg_testkit::NoRsa;

/// The number of members of the cluster.
const MEMBERS: u8 = 8;

/// The course of an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrollment {
    /// The cluster is created, and complete at the first look.
    Create,
    /// The cluster is created, and the last member is not there at the first look.
    Wait,
    /// A cluster that exists is joined, complete at the first look.
    Join,
}

/// The inputs of an enrollment.
pub struct Enrollments {
    credential: Credential,
    token: Token,
    members: Vec<MemberEntry>,
    info: ClusterInfo,
}

impl Enrollments {
    pub fn new() -> Self {
        let token = token(&identity(1));
        let name = |n: u8| format!("member{n}").parse().expect("a name");
        let others = (1..=MEMBERS).map(|n| Token { name: name(n), ..served(&token, n) });
        let info = ClusterInfo {
            id: NodeId::from_bytes(&[0xC1; 32]).expect("an ID"),
            max_size: u32::from(MEMBERS),
            attrs: ClusterAttrs::NONE,
            end_point_count: 2,
        };
        let members = others.map(MemberEntry::new).collect();
        Self { credential: credential(), token, members, info }
    }

    /// Runs one enrollment, and gives the number of its requests.
    pub fn run(&self, enrollment: Enrollment) -> usize {
        let mut now = Instant::EPOCH;
        let config = ClientConfig { provider: &NoRsa, ..ClientConfig::new(&self.credential) };
        let name = "cluster".parse().expect("a name");
        let create = Create { name, max_size: 8, attrs: ClusterAttrs::NONE, end_point_count: 2 };
        let plan = match enrollment {
            Enrollment::Join => Plan::join(self.token.clone(), create.name.into()),
            _ => Plan::create_and_join(self.token.clone(), create),
        };
        let mut client = Enroll::new(now, config, plan, Seeded::new(1)).expect("sealed");
        let limits = Limits::server();
        let config = ServerConfig { hello_len: 44, version: Version::REFERENCE, limits };
        let mut server = Session::<Server>::new(now, config, Seeded::new(2));
        let (mut requests, mut looks) = (0, 0);
        loop {
            while client.poll_event().expect("no error").is_some() {}
            if client.is_finished() {
                return requests;
            }
            if client.output().is_empty() && client.recv_room() == 0 {
                now = client.poll_timeout().expect("a pause").0;
                client.handle_timeout(now);
                continue;
            }
            let n = server.receive(now, client.output());
            client.consume_output(n);
            match server.poll_event().expect("no error") {
                Some(ServerEvent::Hello(hello)) => {
                    let opened = hello.open(&NoRsa, &mut Seeded::new(3));
                    server.open_hello(now, opened).expect("it waits");
                }
                Some(ServerEvent::Request { id, request }) => {
                    requests += 1;
                    let reply = self.answer(&request, enrollment, &mut looks);
                    server.reply(now, id, &reply).expect("asked");
                }
                _ => {}
            }
            let n = client.receive(now, server.output());
            server.consume_output(n);
        }
    }

    fn answer(&self, request: &Request, enrollment: Enrollment, looks: &mut usize) -> Reply {
        match request {
            Request::Member(_) => Reply::MemberOk {
                id: NodeId::from_bytes(&[1; 32]).expect("an ID"),
                attrs: MemberAttrs::NONE,
            },
            Request::Create(_) => Reply::Create(self.info),
            Request::Join(_) => Reply::Join(self.info),
            Request::GetCluster(get) => {
                *looks += 1;
                let there = MEMBERS - u8::from(enrollment == Enrollment::Wait && *looks == 1);
                let asked = get.which.unwrap_or(MemberSet::ALL);
                let which = asked.and(MemberSet::first(u32::from(there)));
                let members = which.iter().map(|index| self.members[usize::from(index)].clone());
                let list = MemberList::of(self.info.id, which, members.collect());
                Reply::Members(list.expect("as many as bits"))
            }
            _ => Reply::Ack,
        }
    }
}

impl Default for Enrollments {
    fn default() -> Self {
        Self::new()
    }
}
