//! Rendered prompts against transformers 5.17.0; made by `scripts/goldens/qwen_chat.py`.
#![allow(clippy::unwrap_used)]

use ourvidz_qwen::{ChatTemplate, Error, Message};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/chat.json")).unwrap()
}

fn template() -> ChatTemplate {
    ChatTemplate::from_tokenizer_config(&golden()["tokenizer_config"].to_string()).unwrap()
}

#[test]
fn prompts_equal_transformers() {
    let template = template();
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let prompt = template.render(&messages, case["add_generation_prompt"].as_bool().unwrap()).unwrap();
        assert_eq!(prompt, case["prompt"].as_str().unwrap(), "{messages:?}");
    }
}

#[test]
fn messages_that_make_no_conversation_are_refused() {
    let (system, user) = (|| Message::system("s"), || Message::user("u"));
    let assistant = || Message::assistant("a");
    let cases = [
        (vec![user(), system()], true, 1, "first"),
        (vec![system(), system(), user()], true, 1, "first"),
        (vec![system(), assistant()], false, 1, "turns"),
        (vec![user(), user()], true, 1, "turns"),
        (vec![user(), assistant(), assistant()], false, 2, "turns"),
        (vec![system(), Message::user(" \n")], true, 1, "blank"),
        (vec![user(), assistant()], true, 1, "answered"),
        (vec![system()], true, 0, "answered"),
    ];
    for (messages, add_generation_prompt, at, word) in cases {
        match template().render(&messages, add_generation_prompt) {
            Err(Error::Message { index, rule, .. }) => {
                assert_eq!(index, at, "{messages:?}");
                assert!(rule.contains(word), "{messages:?}: {rule}");
            }
            other => assert_eq!(format!("{other:?}"), "an error", "{messages:?}"),
        }
    }
    assert!(matches!(template().render(&[], true), Err(Error::NoMessages)));
}

#[test]
fn the_default_of_several_templates_is_used() {
    let config = r#"{"bos_token": "<s>", "chat_template": [
        {"name": "tool_use", "template": "wrong"}, {"name": "default", "template": "{{ bos_token }}right"}]}"#;
    let template = ChatTemplate::from_tokenizer_config(config).unwrap();
    assert_eq!(template.render(&[Message::user("u")], true).unwrap(), "<s>right");
}

#[test]
fn absent_broken_and_raising_templates_are_errors() {
    let read = ChatTemplate::from_tokenizer_config;
    assert!(matches!(read("{}"), Err(Error::NoTemplate)));
    assert!(matches!(read(r#"{"chat_template": []}"#), Err(Error::NoTemplate)));
    assert!(matches!(read("{"), Err(Error::Json { .. })));
    assert!(matches!(read(r#"{"chat_template": "{% if %}"}"#), Err(Error::Template { .. })));
    let raising = read(r#"{"chat_template": "{{ raise_exception('only poems') }}"}"#).unwrap();
    match raising.render(&[Message::user("u")], true) {
        Err(Error::Template { source }) => assert!(source.to_string().contains("only poems"), "{source}"),
        other => assert_eq!(format!("{other:?}"), "an error"),
    }
}
