//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: classic groups and their members.

use crate::Value;
use crate::judge::Run;
use crate::scenarios::members::{self, Member};

pub(super) async fn join(run: &mut Run) {
    let group = members::group(run, "a").await;
    let mut first = Member::new(&group);
    let answer = run.step("the first member", first.join()).await;
    first.member_id = answer["member_id"].str().to_owned();
    if run.version >= 4 {
        run.step("with the id that it was told", first.join()).await;
    }
    run.step("again before its assignment", first.join()).await;
    first.generation_id = 1;
    members::sync(run, &first, &[(&first, b"all")]).await;
    run.step("the leader, with an assignment", first.join()).await;
    first.generation_id = 2;

    let mut other = run.connect().await;
    let mut second = Member::new(&group);
    let joining = second.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &first).await;
    run.step("both", first.join()).await;
    second.joined(&other.receive(joining).await);
    first.generation_id = second.generation_id;
    members::sync(run, &first, &[(&first, b"one"), (&second, b"two")]).await;
    run.step("a follower, with an assignment", second.join()).await;
    second.protocols.push(("other", "".into()));
    let changed = second.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &first).await;
    first.protocols = vec![("range", "r2".into()), ("other", "o".into())];
    run.step("the leader, with other protocols", first.join()).await;
    second.joined(&other.receive(changed).await);
    members::delete(run, &group, &[&first, &second]).await;
}

/// What the life of a group leaves in the log of its coordinator.
pub(super) async fn records(run: &mut Run) {
    let group = members::group(run, "a").await;
    let log = members::CoordinatorLog::begin(run, &group).await;
    let mut member = Member::new(&group);
    if run.version >= 5 {
        member.group_instance_id = Some(run.name("i"));
    }
    member.joined(&run.step("a member", member.join()).await);
    members::join(run, &mut member).await;
    members::sync(run, &member, &[(&member, b"all")]).await;
    let mut other = run.connect().await;
    let mut second = Member::new(&group);
    let joining = second.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &member).await;
    members::join(run, &mut member).await;
    second.joined(&other.receive(joining).await);
    members::sync(run, &member, &[(&member, b"one"), (&second, b"two")]).await;
    if run.version >= 5 {
        member.member_id.clear();
        member.joined(&run.step("a static member comes back", member.join()).await);
    }
    members::delete(run, &group, &[&second, &member]).await;
    log.step(run, "what is in the log").await;
}

pub(super) async fn join_refusals(run: &mut Run) {
    let group = members::group(run, "a").await;
    let member = Member::new(&group);
    run.step("no group id", Member::new("").join()).await;
    for (what, timeout) in [("too short", 5_999), ("too long", 1_800_001), ("negative", -1)] {
        let member = Member { session_timeout_ms: timeout, ..member.clone() };
        run.step(&format!("a session timeout that is {what}"), member.join()).await;
    }
    let stranger = Member { member_id: "stranger".to_owned(), ..member.clone() };
    run.step("an id that is not known, of a group that is not", stranger.join()).await;
    run.step("no protocol type", Member { protocol_type: "", ..member.clone() }.join()).await;
    run.step("no protocols", Member { protocols: Vec::new(), ..member.clone() }.join()).await;
    let known = members::stable(run, &group).await;
    run.step("an id that is not known", stranger.join()).await;
    run.step("another protocol type", Member { protocol_type: "other", ..member.clone() }.join()).await;
    run.step("no protocol that all have", Member { protocols: vec![("other", "".into())], ..member.clone() }.join())
        .await;
    run.step("no protocol type, into a group", Member { protocol_type: "", ..member.clone() }.join()).await;
    run.step("no protocols, into a group", Member { protocols: Vec::new(), ..member.clone() }.join()).await;
    if run.version >= 5 {
        let stray = Member { group_instance_id: Some(run.name("i")), ..known.clone() };
        run.step("an instance that is not known", stray.join()).await;
        let stray = Member { group_instance_id: Some(String::new()), ..known.clone() };
        run.step("an instance without a name", stray.join()).await;
    }
    run.step("a group id with a space", Member { session_timeout_ms: 1, ..Member::new("a b") }.join()).await;
    members::delete(run, &group, &[&known]).await;
}

pub(super) async fn join_static(run: &mut Run) {
    let group = members::group(run, "a").await;
    if run.version < 5 {
        // Nothing says that it is static, and it is not: it is told an id or is one of the group at once.
        let answer = run.step("before there were static members", Member::new(&group).join()).await;
        let member = Member { member_id: answer["member_id"].str().to_owned(), ..Member::new(&group) };
        return members::delete(run, &group, &[&member]).await;
    }
    let mut leader = Member { group_instance_id: Some(run.name("i")), ..Member::new(&group) };
    leader.joined(&run.step("a static member is told no id", leader.join()).await);
    members::sync(run, &leader, &[(&leader, b"all")]).await;
    let mut back = Member { member_id: String::new(), ..leader.clone() };
    back.joined(&run.step("it comes back without an id", back.join()).await);
    run.step("its old id", leader.join()).await;
    let mut changed = Member { member_id: String::new(), protocols: vec![("other", "".into())], ..back.clone() };
    changed.joined(&run.step("it comes back with another protocol", changed.join()).await);
    let mut again = Member { member_id: String::new(), ..changed.clone() };
    again.joined(&run.step("it comes back before its assignment", again.join()).await);
    members::delete(run, &group, &[&again]).await;
}

pub(super) async fn sync(run: &mut Run) {
    let group = members::group(run, "a").await;
    let mut leader = Member::new(&group);
    members::join(run, &mut leader).await;
    run.step("the leader without assignments", leader.sync(&[])).await;
    run.step("the leader again", leader.sync(&[(&leader, b"late")])).await;

    let mut other = run.connect().await;
    let mut follower = Member::new(&group);
    let joining = follower.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &leader).await;
    run.step("while others join", leader.sync(&[])).await;
    members::join(run, &mut leader).await;
    follower.joined(&other.receive(joining).await);
    let syncing = follower.begin_to_sync(&mut other).await;
    let stranger = Member { member_id: "stranger".to_owned(), ..leader.clone() };
    run.step(
        "assignments for both and for a stranger",
        leader.sync(&[(&leader, b"1"), (&follower, b"2"), (&stranger, b"3")]),
    )
    .await;
    other.receive(syncing).await;
    run.step("the follower", follower.sync(&[(&follower, b"mine")])).await;
    run.step("without a protocol type", Member { protocol_type: "", ..follower.clone() }.sync(&[])).await;
    members::delete(run, &group, &[&leader, &follower]).await;
}

pub(super) async fn sync_refusals(run: &mut Run) {
    let group = members::group(run, "a").await;
    run.step("no group id", Member::new("").sync(&[])).await;
    run.step("a group that is not known", Member::new(&group).sync(&[])).await;
    let member = members::stable(run, &group).await;
    run.step("no member id", Member { member_id: String::new(), ..member.clone() }.sync(&[])).await;
    run.step("a member that is not known", Member { member_id: "x".to_owned(), ..member.clone() }.sync(&[])).await;
    for generation_id in [0, 2, -1] {
        run.step(&format!("generation {generation_id}"), Member { generation_id, ..member.clone() }.sync(&[])).await;
    }
    run.step("another protocol type", Member { protocol_type: "other", ..member.clone() }.sync(&[])).await;
    let other = Member { protocols: vec![("other", "".into())], ..member.clone() };
    run.step("another protocol", other.sync(&[])).await;
    if run.version >= 3 {
        let stray = Member { group_instance_id: Some(run.name("i")), ..member.clone() };
        run.step("an instance that is not known", stray.sync(&[])).await;
    }
    if run.version >= 5 {
        for field in ["protocol_type", "protocol_name"] {
            run.step(&format!("{field} null"), members::with(&member.sync(&[]), field, Value::Null)).await;
        }
    }
    members::leave(run, &member).await;
    run.step("of a group that is empty", member.sync(&[])).await;
    members::delete(run, &group, &[]).await;
}

pub(super) async fn heartbeat(run: &mut Run) {
    let group = members::group(run, "a").await;
    run.step("no group id", Member::new("").heartbeat()).await;
    run.step("a group that is not known", Member::new(&group).heartbeat()).await;
    let mut member = Member::new(&group);
    members::join(run, &mut member).await;
    run.step("before the assignment", member.heartbeat()).await;
    members::sync(run, &member, &[]).await;
    run.step("a stable group", member.heartbeat()).await;
    for generation_id in [0, 2, -1] {
        run.step(&format!("generation {generation_id}"), Member { generation_id, ..member.clone() }.heartbeat()).await;
    }
    run.step("no member id", Member { member_id: String::new(), ..member.clone() }.heartbeat()).await;
    run.step("a member that is not known", Member { member_id: "x".to_owned(), ..member.clone() }.heartbeat()).await;
    if run.version >= 3 {
        let stray = Member { group_instance_id: Some(run.name("i")), ..member.clone() };
        run.step("an instance that is not known", stray.heartbeat()).await;
    }
    let mut other = run.connect().await;
    let mut second = Member::new(&group);
    let joining = second.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &member).await;
    run.step("while another joins", member.heartbeat()).await;
    run.step("generation 9 while another joins", Member { generation_id: 9, ..member.clone() }.heartbeat()).await;
    members::leave(run, &member).await;
    second.joined(&other.receive(joining).await);
    run.step("after it left", member.heartbeat()).await;
    members::leave(run, &second).await;
    run.step("of a group that is empty", second.heartbeat()).await;
    members::delete(run, &group, &[]).await;
}

pub(super) async fn leave(run: &mut Run) {
    let group = members::group(run, "a").await;
    run.step("no group id", members::leaving("", &[("m", None)])).await;
    run.step("a group that is not known", members::leaving(&group, &[("m", None)])).await;
    let member = members::stable(run, &group).await;
    run.step("no member id", members::leaving(&group, &[("", None)])).await;
    run.step("a member that is not known", members::leaving(&group, &[("m", None)])).await;
    run.step("the member", members::leaving(&group, &[(&member.member_id, None)])).await;
    run.step("once more", members::leaving(&group, &[(&member.member_id, None)])).await;
    let pending = members::pending(run, &group).await;
    run.step("a member that has an id and has not joined", members::leaving(&group, &[(&pending, None)])).await;
    if run.version >= 3 {
        leave_static(run, &group).await;
    }
    members::delete(run, &group, &[]).await;
}

async fn leave_static(run: &mut Run, group: &str) {
    let (i, nobody) = (run.name("i"), run.name("nobody"));
    let mut member = Member { group_instance_id: Some(i.clone()), ..Member::new(group) };
    members::join(run, &mut member).await;
    run.step("an instance under another id", members::leaving(group, &[("other", Some(&i))])).await;
    run.step("an instance that is not known", members::leaving(group, &[("", Some(&nobody))])).await;
    let all = [("", Some(&*i)), ("", Some(&*i)), ("m", None), ("", None)];
    run.step("four at once", members::leaving(group, &all)).await;
    run.step("nobody", members::leaving(group, &[])).await;
    run.step("an instance of an empty group", members::leaving(group, &[("", Some(&i))])).await;
    // It is gone: whoever has its name is new.
    let mut member = Member { group_instance_id: Some(i.clone()), ..Member::new(group) };
    members::join(run, &mut member).await;
    run.step("an instance with its id", members::leaving(group, &[(&member.member_id, Some(&i))])).await;
}
