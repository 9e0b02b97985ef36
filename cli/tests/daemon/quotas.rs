//! How much one address and one sig key may have and change, over TCP, and what metrics tell of it.

#![cfg(target_os = "linux")]

use xlreg::message::{ClusterRef, Refusal};
use xlreg_testkit::client::{Failure, Way, token};
use xlreg_testkit::http::Samples;
use xlreg_testkit::{Seeded, identity};

use crate::limits::{from, start_observed};

/// Registers, creates a cluster and joins it, from this address.
fn enroll(way: &Way, source: [u8; 4], key: usize, name: &str) -> Result<(), Failure> {
    let rng = &mut Seeded(key as u64);
    let mut client = way.connect_over(from(source, way.address), rng)?;
    let mut node = xlreg::identity::Token {
        id: Some([key as u8; 20].into()),
        ..token(&identity(name, key), &format!("{name}:1"), rng)
    };
    node.sign(&xlreg_testkit::KEYS.sig[key], rng).unwrap();
    client.member(&node)?;
    client.create(name, 3)?;
    client.join(ClusterRef::CURRENT)?;
    client.bye()
}

#[track_caller]
fn refused(enrolled: Result<(), Failure>, refusal: Refusal) {
    let failure = enrolled.expect_err("it is beyond a limit");
    assert!(failure.is(refusal), "{failure:?}");
}

const HOME: [u8; 4] = [127, 0, 0, 1];

#[test]
fn an_address_has_its_rates_and_is_told_which() {
    for (flag, of, refusal) in [
        ("--node-rate", "nodes", Refusal::TooManyNodesFromAddress),
        ("--cluster-rate", "clusters", Refusal::TooManyClustersFromAddress),
        ("--membership-rate", "memberships", Refusal::TooManyMembershipsFromAddress),
    ] {
        let (_temp, _daemon, way, metrics) = start_observed(&["--memory", flag, "2"]);
        for (key, name) in ["a", "b"].into_iter().enumerate() {
            enroll(&way, HOME, key, name).unwrap();
        }
        refused(enroll(&way, HOME, 2, "c"), refusal);
        // What changes nothing is served, and others are.
        enroll(&way, HOME, 0, "a").unwrap();
        enroll(&way, [127, 0, 0, 2], 2, "c").unwrap();
        let samples = Samples::of(&metrics);
        let by = [("by", "address"), ("of", of)];
        assert_eq!(samples.value("xlreg_minute_most", &by), 2.0);
        assert_eq!(samples.value("xlreg_minute_limit", &by), 2.0);
        let reason = [("reason", refusal.as_str())];
        assert_eq!(samples.value("xlreg_refusals_total", &reason), 1.0);
    }
    let (_temp, _daemon, way, _) = start_observed(&["--memory", "--change-rate", "4"]);
    enroll(&way, HOME, 0, "a").unwrap();
    refused(enroll(&way, HOME, 1, "b"), Refusal::TooManyChangesFromAddress);
}

#[test]
fn a_key_has_its_rate_wherever_it_comes_from() {
    let (_temp, _daemon, way, metrics) =
        start_observed(&["--memory", "--change-rate-per-key", "4"]);
    enroll(&way, HOME, 0, "a").unwrap();
    refused(enroll(&way, [127, 0, 0, 2], 0, "b"), Refusal::TooManyChangesOfKey);
    enroll(&way, HOME, 1, "c").unwrap();
    let by = [("by", "key"), ("of", "changes")];
    assert_eq!(Samples::of(&metrics).value("xlreg_minute_most", &by), 4.0);
}

#[test]
fn metrics_tell_how_far_limits_are_used() {
    let flags = [
        "--memory",
        "--max-token-bytes=1MiB",
        "--max-memory=2MiB",
        "--max-store=3MiB",
        "--max-nodes-per-key=4",
        "--max-clusters-per-key=1",
        "--max-memberships-per-key=6",
    ];
    let (_temp, _daemon, way, metrics) = start_observed(&flags);
    enroll(&way, HOME, 0, "a").unwrap();
    refused(enroll(&way, HOME, 0, "b"), Refusal::TooManyClustersOfKey);
    let samples = Samples::of(&metrics);
    for (of, limit) in
        [("token_bytes", 1 << 20), ("memory_bytes", 2 << 20), ("store_bytes", 3 << 20)]
    {
        assert_eq!(samples.value("xlreg_limit", &[("of", of)]), f64::from(limit), "{of}");
    }
    for (of, most, limit) in
        [("nodes", 1.0, 4.0), ("clusters", 1.0, 1.0), ("memberships", 1.0, 6.0)]
    {
        assert_eq!(samples.value("xlreg_key_most", &[("of", of)]), most, "{of}");
        assert_eq!(samples.value("xlreg_key_limit", &[("of", of)]), limit, "{of}");
    }
    assert_eq!(samples.value("xlreg_tokens", &[]), 1.0);
    assert!(samples.value("xlreg_token_bytes", &[]) > 300.0);
    assert!(samples.value("xlreg_memory_bytes", &[]) > 1000.0);
}
