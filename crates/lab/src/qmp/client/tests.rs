use super::*;
use std::io::{BufRead, BufReader};

const SECOND: Duration = Duration::from_secs(1);

/// A QEMU that greets and then says what `talk` makes of each line it gets.
fn peer(
    talk: impl Fn(&str) -> Option<String> + Send + 'static,
) -> (Result<Client, Error>, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let _ = theirs.write_all(
            b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 2, \"major\": 9}}, \"capabilities\": []}}\r\n",
        );
        for line in BufReader::new(theirs.try_clone().unwrap()).lines() {
            let Some(answer) = line.ok().and_then(|line| talk(&line)) else {
                return;
            };
            if theirs.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (Client::connect(ours, SECOND, |_| ()), thread)
}

fn id(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["id"]
        .as_u64()
        .unwrap()
}

#[test]
fn matches_answers_to_commands_between_events() {
    let (client, _thread) = peer(|line| {
        Some(format!(
            "{{\"event\": \"RESET\", \"data\": {{\"reason\": \"r{0}\"}}}}\r\n{{\"return\": {0}, \"id\": {0}}}\r\n",
            id(line)
        ))
    });
    let mut client = client.unwrap();
    assert_eq!(client.version(), [9, 2, 1]);
    assert_eq!(client.execute("a", Value::Null, SECOND).unwrap(), 2);
    assert_eq!(client.execute("b", json!({}), SECOND).unwrap(), 3);
    let event = client
        .wait_event("the second reset", SECOND, |event| {
            event.reason() == Some("r2")
        })
        .unwrap();
    assert_eq!(event.name, "RESET");
    assert_eq!(client.take_events().len(), 1);
}

#[test]
fn tells_refusal_silence_and_closing_apart() {
    let (client, _thread) = peer(|line| match id(line) {
        1 => Some("{\"return\": {}, \"id\": 1}\n".into()),
        2 => {
            Some("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 2}\n".into())
        }
        3 => Some(String::new()),
        _ => None,
    });
    let mut client = client.unwrap();
    let short = Duration::from_millis(50);
    assert!(matches!(
        client.execute("x", Value::Null, SECOND),
        Err(Error::Refused { description, .. }) if description == "no"
    ));
    assert!(matches!(
        client.execute("x", Value::Null, short),
        Err(Error::Timeout { .. })
    ));
    assert!(matches!(
        client.execute("x", Value::Null, SECOND),
        Err(Error::Closed(_))
    ));
    assert!(client.is_closed());
}

#[test]
fn nonsense_ends_the_connection_with_its_reason() {
    let (client, _thread) = peer(|_| Some("nonsense\n".into()));
    assert!(matches!(client, Err(Error::Json(_))));
}
