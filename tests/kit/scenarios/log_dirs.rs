//! DescribeLogDirs, AlterReplicaLogDirs. All of a cluster at once is in target `fidelity`: the logs of internal topics are of
//! other sizes in each run.

use crate::batch::Batch;
use crate::judge::Run;
use crate::{Value, api, value};

fn numbers(numbers: &[i32]) -> Vec<Value> {
    numbers.iter().map(|number| Value::from(*number)).collect()
}

fn describe_of(topics: &[(&str, &[i32])]) -> Value {
    let topics: Vec<_> =
        topics.iter().map(|(topic, partitions)| value!({ topic: *topic, partitions: numbers(partitions) })).collect();
    value!({ topics: topics })
}

pub(super) async fn describe(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let other = run.topic("b", 1, &[]).await;
    run.append(&topic, 0, &Batch::of(["one", "two"])).await;
    run.append(&topic, 0, &Batch::of(["three"])).await;
    let (name, nowhere) = (topic.name.as_str(), run.name("nowhere"));
    run.step("one partition", describe_of(&[(name, &[0])])).await;
    run.step("an empty partition", describe_of(&[(name, &[1])])).await;
    run.step("two partitions", describe_of(&[(name, &[1, 0])])).await;
    run.step("two topics", describe_of(&[(name, &[0]), (&other.name, &[0])])).await;
    run.step("none", describe_of(&[])).await;
    run.step("no partitions", describe_of(&[(name, &[])])).await;
    run.step("a partition twice", describe_of(&[(name, &[0, 0])])).await;
    run.step("a topic twice", describe_of(&[(name, &[0]), (name, &[1])])).await;
    run.step("unknown partitions", describe_of(&[(name, &[7, -1])])).await;
    run.step("an unknown topic", describe_of(&[(&nowhere, &[0])])).await;
    run.step("a topic that cannot be", describe_of(&[("a b", &[0]), ("", &[0])])).await;
}

pub(super) async fn moves(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let (name, nowhere) = (topic.name.as_str(), run.name("nowhere"));
    let told = run.ask(api::DESCRIBE_LOG_DIRS, 4, value!({ topics: [] })).await;
    let here = told["results"][0]["log_dir"].str().to_owned();
    let to = |path: &str, topics: &[(&str, &[i32])]| {
        let topics: Vec<_> =
            topics.iter().map(|(name, partitions)| value!({ name: *name, partitions: numbers(partitions) })).collect();
        value!({ path: path, topics: topics })
    };
    let dirs = |dirs: Vec<Value>| value!({ dirs: dirs });
    run.step("to where it is", dirs(vec![to(&here, &[(name, &[0])])])).await;
    run.step("two partitions", dirs(vec![to(&here, &[(name, &[1, 0])])])).await;
    run.step("nothing", dirs(vec![])).await;
    run.step("no topics", dirs(vec![to(&here, &[])])).await;
    run.step("no partitions", dirs(vec![to(&here, &[(name, &[])])])).await;
    run.step("an unknown directory", dirs(vec![to("/nowhere/at/all", &[(name, &[0])])])).await;
    run.step("no directory", dirs(vec![to("", &[(name, &[0])])])).await;
    run.step("a relative directory", dirs(vec![to("kafka-logs", &[(name, &[0])])])).await;
    run.step("unknown partitions", dirs(vec![to(&here, &[(name, &[7, -1])])])).await;
    run.step("an unknown topic", dirs(vec![to(&here, &[(&nowhere, &[0])])])).await;
    run.step("an unknown topic to an unknown directory", dirs(vec![to("/nowhere/at/all", &[(&nowhere, &[0])])])).await;
    run.step("a topic that cannot be", dirs(vec![to(&here, &[("a b", &[0])])])).await;
    run.step("a name too long", dirs(vec![to(&here, &[(&"x".repeat(300), &[0])])])).await;
    run.step("the longest name", dirs(vec![to(&here, &[(&"x".repeat(249), &[0])])])).await;
    run.step("to two directories", dirs(vec![to(&here, &[(name, &[0])]), to("/nowhere/at/all", &[(name, &[0])])]))
        .await;
}
