//! DescribeGroups, ListGroups, DeleteGroups: groups as administrators see them.

use crate::judge::Run;
use crate::scenarios::members::{self, Member};
use crate::{Value, api, value};

fn describe(groups: &[&str], operations: bool) -> Value {
    let groups: Vec<_> = groups.iter().map(|group| Value::from(*group)).collect();
    value!({ groups: groups, include_authorized_operations: operations })
}

pub(super) async fn describes(run: &mut Run) {
    let group = members::group(run, "a").await;
    run.step("a group that is not known", describe(&[&group], false)).await;
    run.step("the group without a name", describe(&[""], false)).await;
    run.step("none", describe(&[], false)).await;
    let pending = members::pending(run, &group).await;
    // What is asked is read from what is written, and the member was told its id before.
    let is_empty = |answer: &Value| answer["groups"][0]["group_state"] == "Empty";
    run.until(api::DESCRIBE_GROUPS, 5, describe(&[&group], false), is_empty).await;
    run.step("one with a member to be", describe(&[&group], false)).await;
    run.ask(api::LEAVE_GROUP, 5, members::leaving(&group, &[(&pending, None)])).await;
    let instance = run.name("i");
    let mut member = Member { group_instance_id: Some(instance), ..Member::new(&group) };
    members::join(run, &mut member).await;
    run.step("before the assignment", describe(&[&group], false)).await;
    members::sync(run, &member, &[(&member, b"all")]).await;
    run.step("a stable one", describe(&[&group], false)).await;
    run.step("with operations", describe(&[&group], true)).await;
    let nowhere = run.name("nowhere");
    run.step("operations of one that is not known", describe(&[&nowhere], true)).await;
    let mut other = run.connect().await;
    let mut second = Member::new(&group);
    let joining = second.begin_to_join(&mut other).await;
    members::wait_until_rebalancing(run, &member).await;
    run.step("while another joins", describe(&[&group], false)).await;
    members::leave(run, &member).await;
    second.joined(&other.receive(joining).await);
    members::leave(run, &second).await;
    run.step("an empty one", describe(&[&group], false)).await;
    members::delete(run, &group, &[]).await;
    run.step("one that was deleted", describe(&[&group], false)).await;
}

pub(super) async fn lists(run: &mut Run) {
    run.step("none", value!({})).await;
    let (empty, stable) = (members::group(run, "empty").await, members::group(run, "stable").await);
    let pending = members::pending(run, &empty).await;
    let member = members::stable(run, &stable).await;
    run.until(api::LIST_GROUPS, 5, value!({}), |answer| answer["groups"].array().len() == 2).await;
    run.step("two", value!({})).await;
    if run.version >= 4 {
        for states in [&["Stable"][..], &["empty"], &["STABLE", "Empty"], &["Dead"], &["nonsense"], &[""]] {
            let filter: Vec<_> = states.iter().map(|state| Value::from(*state)).collect();
            run.step(&format!("states {states:?}"), value!({ states_filter: filter })).await;
        }
    }
    if run.version >= 5 {
        for types in [&["classic"][..], &["Classic"], &["consumer"], &["share", "CLASSIC"], &["nonsense"], &[""]] {
            let filter: Vec<_> = types.iter().map(|of| Value::from(*of)).collect();
            run.step(&format!("types {types:?}"), value!({ types_filter: filter })).await;
        }
        run.step("both filters", value!({ types_filter: ["classic"], states_filter: ["Stable"] })).await;
    }
    run.ask(api::LEAVE_GROUP, 5, members::leaving(&empty, &[(&pending, None)])).await;
    members::delete(run, &empty, &[]).await;
    members::delete(run, &stable, &[&member]).await;
    // ListGroups has nothing to refuse: a version that is not known is refused by closing, and `common` has that.
}

pub(super) async fn deletes(run: &mut Run) {
    let delete = |groups: &[&str]| {
        let groups: Vec<_> = groups.iter().map(|group| Value::from(*group)).collect();
        value!({ groups_names: groups })
    };
    let topic = run.topic("a", 1, &[]).await;
    let (one, two) = (members::group(run, "one").await, members::group(run, "two").await);
    run.step("one that is not known", delete(&[&one])).await;
    run.step("the one without a name", delete(&[""])).await;
    run.step("none", delete(&[])).await;
    let member = members::stable(run, &one).await;
    run.step("one with a member", delete(&[&one])).await;
    let partition = value!({ partition_index: 0, committed_offset: 5, committed_metadata: null });
    let commit = value!({
        group_id: &two, generation_id_or_member_epoch: -1, topics: [{ name: &topic.name, partitions: [partition] }],
    });
    run.ask(api::OFFSET_COMMIT, 9, commit).await;
    run.step("one with offsets, twice, and one with a member", delete(&[&two, &one, &two])).await;
    run.step("once more", delete(&[&two])).await;
    members::leave(run, &member).await;
    members::pending(run, &one).await;
    run.step("one with a member to be", delete(&[&one])).await;
}
