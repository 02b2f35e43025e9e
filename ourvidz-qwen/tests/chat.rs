//! Rendered prompts against transformers 5.17.0; made by `scripts/goldens/qwen_chat.py`.
#![allow(clippy::unwrap_used)]

use ourvidz_qwen::{ChatTemplate, Error, Message, RenderOptions};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/chat.json")).unwrap()
}

fn template() -> ChatTemplate {
    ChatTemplate::from_tokenizer_config(&golden()["tokenizer_config"].to_string()).unwrap()
}

/// For an answer, and as the template says of thinking.
const ANSWER: RenderOptions = RenderOptions { add_generation_prompt: true, enable_thinking: None };

fn prompts_equal(template: &ChatTemplate, cases: &Value, least: usize) {
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= least);
    for case in cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let add_generation_prompt = case["add_generation_prompt"].as_bool().unwrap();
        let enable_thinking = case.get("enable_thinking").map(|on| on.as_bool().unwrap());
        let prompt =
            template.render(&messages, RenderOptions { add_generation_prompt, enable_thinking }).unwrap();
        assert_eq!(prompt, case["prompt"].as_str().unwrap(), "{enable_thinking:?} {messages:?}");
    }
}

#[test]
fn prompts_equal_transformers() {
    prompts_equal(&template(), &golden()["cases"], 7);
}

/// Methods of strings, thoughts taken out of answers and forbidden, as Qwen3's templates have them.
#[test]
fn prompts_of_models_that_think_equal_transformers() {
    let golden = golden();
    let source = golden["thinking_template"].as_str().unwrap();
    let config = golden["tokenizer_config"].to_string();
    prompts_equal(&ChatTemplate::from_jinja(source, Some(&config)).unwrap(), &golden["thinking_cases"], 24);
    prompts_equal(&ChatTemplate::from_jinja(source, None).unwrap(), &golden["thinking_cases"], 24);
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
        match template().render(&messages, RenderOptions { add_generation_prompt, ..ANSWER }) {
            Err(Error::Message { index, rule, .. }) => {
                assert_eq!(index, at, "{messages:?}");
                assert!(rule.contains(word), "{messages:?}: {rule}");
            }
            other => assert_eq!(format!("{other:?}"), "an error", "{messages:?}"),
        }
    }
    assert!(matches!(template().render(&[], ANSWER), Err(Error::NoMessages)));
}

#[test]
fn the_default_of_several_templates_is_used() {
    let config = r#"{"bos_token": "<s>", "chat_template": [
        {"name": "tool_use", "template": "wrong"}, {"name": "default", "template": "{{ bos_token }}right"}]}"#;
    let template = ChatTemplate::from_tokenizer_config(config).unwrap();
    assert_eq!(template.render(&[Message::user("u")], ANSWER).unwrap(), "<s>right");
}

#[test]
fn absent_broken_and_raising_templates_are_errors() {
    let read = ChatTemplate::from_tokenizer_config;
    assert!(matches!(read("{}"), Err(Error::NoTemplate)));
    assert!(matches!(read(r#"{"chat_template": []}"#), Err(Error::NoTemplate)));
    assert!(matches!(read("{"), Err(Error::Json { .. })));
    assert!(matches!(read(r#"{"chat_template": "{% if %}"}"#), Err(Error::Template { .. })));
    let raising = read(r#"{"chat_template": "{{ raise_exception('only poems') }}"}"#).unwrap();
    match raising.render(&[Message::user("u")], ANSWER) {
        Err(Error::Template { source }) => assert!(source.to_string().contains("only poems"), "{source}"),
        other => assert_eq!(format!("{other:?}"), "an error"),
    }
}
