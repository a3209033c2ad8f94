//! Who may ask.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;

use super::client::{Answer, Control, Program, start};

/// A request with nothing but these headers.
async fn ask(control: &Control, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method("POST").uri("/clusters/main/nodes/0/crash");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    control.whole(request.body(Full::new(Bytes::new())).expect("a valid request")).await
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_and_does_nothing() {
    let program = start();
    let control = &program.control;
    let here = control.address.to_string();
    // DNS rebinding: the browser believes that it asks its own site.
    ask(control, &[("host", "evil.example")]).await.refused(403, "forbidden");
    ask(control, &[("host", &format!("evil.example:{}", control.address.port()))]).await.refused(403, "forbidden");
    // A form or a script of another site.
    ask(control, &[("host", &here), ("origin", "https://evil.example")]).await.refused(403, "forbidden");
    ask(control, &[("host", &here), ("origin", "null")]).await.refused(403, "forbidden");
    ask(control, &[("host", &here), ("origin", "http://localhost:3000")]).await.refused(403, "forbidden");
    assert_eq!(control.get("/clusters/main/nodes/0").await["is_up"], true, "nobody got through");
    ask(control, &[("host", &here), ("origin", &format!("http://{here}"))]).await.ok("its own origin");
    assert_eq!(control.get("/clusters/main/nodes/0").await["is_up"], false);
}

#[tokio::test]
async fn with_a_token_nobody_else_is_heard() {
    let program = Program::start(&["--control", "127.0.0.1:0", "--control-token", "s3cret"]);
    let mut control = program.control.clone();
    for token in [None, Some("s3cre"), Some("s3cret2"), Some("S3CRET")] {
        control.token = token.map(str::to_owned);
        for path in ["/", "/openapi.json", "/clusters", "/nowhere"] {
            let answer = control.ask("GET", path, None).await;
            answer.refused(401, "unauthorized");
        }
    }
    control.token = Some("s3cret".to_owned());
    assert_eq!(control.get("/clusters").await[0]["name"], "main");
}

#[tokio::test]
async fn beyond_loopback_there_is_a_token_without_being_asked_for() {
    let mut program = Program::start(&["--control", "0.0.0.0:0"]);
    let token = program.made_token();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let mut control = program.control.clone();
    assert!(control.address.ip().is_loopback(), "what is told can be connected to: {}", control.address);
    control.ask("GET", "/clusters", None).await.refused(401, "unauthorized");
    control.token = Some(token.clone());
    control.get("/clusters").await;
    // Another machine asks by another name.
    let bearer = format!("Bearer {token}");
    ask(&control, &[("host", "mockbroker:8080"), ("authorization", &bearer)]).await.ok("by any name");
}

#[tokio::test]
async fn without_a_control_address_only_ready_is_said_and_with_one_it_is_the_first_line() {
    let mut program =
        Program::start(&["--control", "127.0.0.1:0", "--topic", "orders:3", "--seed", "7", "--clock", "manual"]);
    let main = program.control.get("/clusters/main").await;
    assert_eq!(main["bootstrap_servers"], program.bootstrap_servers.as_str());
    assert_eq!(main["seed"], 7);
    let advanced = program.control.post("/clusters/main/clock/advance", json!({ "by_ms": 45_000 })).await;
    assert_eq!(advanced["now_ms"].as_i64(), main["clock"]["now_ms"].as_i64().map(|now| now + 45_000));
    assert_eq!(program.control.get("/clusters/main/topics/orders").await["partitions"][2]["partition"], 2);
    assert_eq!(program.stop().await, Some(0));
}
