use super::{Message, NAMES, Version};
use crate::fleet::wire::testing::one_of_each;

#[test]
fn every_message_is_read_as_it_was_written_under_its_name() {
    let all = one_of_each();
    for message in &all {
        let json = serde_json::to_string(message).expect("JSON");
        assert_eq!(Message::parse(json.as_bytes()).as_ref(), Some(message));
        let name = message.name();
        assert!(json == format!("\"{name}\"") || json.starts_with(&format!("{{\"{name}\":")), "{json}");
    }
    let names: Vec<&str> = all.iter().map(Message::name).collect();
    assert_eq!(names, NAMES, "one of each");
}

#[test]
fn fields_of_a_newer_version_are_passed_over_and_its_requests_known_as_unknown() {
    let json = format!("{{\"fetch\": {{\"have\": \"{}\", \"colour\": \"red\"}}}}", "0".repeat(64));
    assert!(matches!(Message::parse(json.as_bytes()), Some(Message::Fetch { .. })));
    for json in [r#"{"rename": {"to": "x"}}"#, r#""rename""#, r#"{"rename": 1}"#] {
        assert_eq!(Message::parse(json.as_bytes()), Some(Message::Unknown("rename".into())));
    }
    let hostile = Message::parse(br#""re\u001b[2Jname and so on and on and on and on and on""#).expect("unknown");
    assert_eq!(hostile.name(), "re\\u{1b}[2Jname and so on and on and on ");
}

#[test]
fn what_is_no_message_is_none() {
    for json in
        ["", "{}", "null", "1", r#"{"fetch": {}}"#, r#"{"fetch": null}"#, r#"{"end": {}}"#, r#"{"bye": null, "more": null}"#, "\u{1b}[2J"]
    {
        assert_eq!(Message::parse(json.as_bytes()), None, "{json}");
    }
    // Deeper than any of ours, and than the stack.
    assert_eq!(Message::parse(format!("{{\"rename\": {}", "[".repeat(100_000)).as_bytes()), None);
    assert_eq!(Message::parse(b"\xff\xfe"), None);
}

#[test]
fn a_set_or_file_cannot_be_named_like_a_way_out_of_its_place() {
    let digest = "0".repeat(64);
    for set in ["../../etc", "a/b", "", ".hidden", "-x", "owner", "a\\u0000b", "a\\u001bb"] {
        let json = format!("{{\"set\": \"{set}\", \"digest\": \"{digest}\", \"revision\": 1}}");
        assert!(serde_json::from_str::<Version>(&json).is_err(), "{set}");
    }
    for path in ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a\\nb", "a\\u0000"] {
        let version = format!("{{\"set\": \"a\", \"digest\": \"{digest}\", \"revision\": 1}}");
        let file = format!("{{\"path\": \"{path}\", \"size\": 1, \"sha256\": \"{digest}\"}}");
        let json = format!("{{\"set\": {{\"version\": {version}, \"pattern\": null, \"files\": [{file}]}}}}");
        assert_eq!(Message::parse(json.as_bytes()), None, "{path}");
    }
}

#[test]
fn what_the_far_end_writes_can_be_printed() {
    let text = |json: &str| format!("{:?}", Message::parse(json.as_bytes()).expect("a message")).replace("\\\\", "");
    let zero = "0".repeat(64);
    let refused =
        format!("{{\"refused\": {{\"subject\": \"\\u001b[2J\", \"cause\": \"\\r\", \"hint\": \"\\u202e\", \"spec\": \"{zero}\"}}}}");
    assert!(text(&refused).contains("u{1b}[2J") && !text(&refused).contains('\u{202e}'));
    let hello = format!("{{\"hello\": {{\"versions\": [1, 1], \"certsync\": \"\\u0007\", \"name\": \"a\", \"spec\": \"{zero}\"}}}}");
    assert!(text(&hello).contains("u{7}"));
}
