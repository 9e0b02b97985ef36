use super::*;

const PEERS: [Peer; 3] = [Peer::Unknown, Peer::Ours, Peer::Deployed];

/// The advice that a user with a deployed server may get.
fn for_deployed() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| row.peers != Peers::Ours)
}

#[test]
fn no_advice_leads_into_what_ends_a_deployed_server() {
    for row in for_deployed() {
        let advice = row.advice;
        // Joining without --create, joining by ID, asking for a credential, making many
        // sessions.
        for (risky, unless) in [
            ("xlreg join", "--create SIZE"),
            ("credential fetch", "never"),
            ("xlreg bench", "never"),
            ("--id", "never"),
            ("--dialect prefixed", "never"),
            ("--may-end-server", "of your own"),
        ] {
            assert!(!advice.contains(risky) || advice.contains(unless), "{advice}");
        }
        assert!(!advice.contains("another node has"), "not looked at: {advice}");
    }
}

#[test]
fn a_place_is_promised_by_name_only_where_it_is_kept() {
    for row in for_deployed() {
        let promises = row.advice.contains("keeps its place") && row.advice.contains("recognised");
        assert!(!promises, "{}", row.advice);
        if row.commands.contains(&Join) && row.advice.contains("run the same command again") {
            let says = row.advice.contains("does not accept it again")
                || matches!(row.cause, Cause::Refused(Refusal::NameInUse));
            assert!(says, "{}", row.advice);
        }
    }
}

#[test]
fn every_row_is_reached_and_advice_for_an_unknown_peer_is_true_for_all() {
    for row in TABLE {
        for command in row.commands {
            let reached =
                PEERS.iter().any(|peer| advise(row.cause, *command, *peer) == Some(row.advice));
            assert!(reached, "{:?} in {command:?}: {}", row.cause, row.advice);
            if let Some(advice) = advise(row.cause, *command, Peer::Unknown) {
                let row = TABLE.iter().find(|row| row.advice == advice && row.peers == Peers::Any);
                assert!(row.is_some(), "{advice}");
            }
        }
    }
}

#[test]
fn what_every_command_meets_has_advice_for_everybody() {
    for cause in [
        Cause::Unreachable,
        Cause::WrongKey,
        Cause::NoHandshake,
        Cause::Lost,
        Cause::PerhapsEnded,
        Cause::NewerHello,
        Cause::TooOld,
    ] {
        for command in ALL {
            for peer in PEERS {
                assert!(advise(cause, *command, peer).is_some(), "{cause:?} {command:?} {peer:?}");
            }
        }
    }
    for command in [Join, Members, Fetch, Bench] {
        for peer in PEERS {
            assert!(advise(Cause::Deployed, command, peer).is_some(), "{command:?} {peer:?}");
        }
    }
}

#[test]
fn refusals_that_are_of_our_words_only_show_who_speaks() {
    let refused = |refusal: Refusal| {
        ClientError::from(EnrollError::Refused {
            request: Some(Op::GetCluster),
            reason: refusal.into(),
        })
    };
    assert_eq!(shown_by(&refused(Refusal::NoClusterWithName)), Some(Peer::Ours));
    assert_eq!(shown_by(&refused(Refusal::WrongState)), None);
    assert_eq!(shown_by(&EnrollError::Deployed.into()), Some(Peer::Deployed));
}
