use std::io::{BufRead, IsTerminal};
use std::ops::ControlFlow;

use anyhow::Context;
use ourvidz_qwen::{ChatRequest, Message};
use serde_json::json;

use crate::cli::ChatOptions;
use crate::failure::Failure;
use crate::load_qwen::{load_qwen, report};
use crate::output;
use crate::progress::Progress;

/// `ourvidz chat`: a line is a message, the end of the input ends the conversation. `/reset` begins another.
///
/// With `--json` each answer is one JSON object on a line.
pub(crate) fn chat(options: &ChatOptions, json: bool) -> Result<(), Failure> {
    let generate = options.sampling.options(ChatRequest::new(vec![]).options);
    generate.validate()?;
    let mut qwen = load_qwen(&options.model, false, &mut Progress::new())?;
    if !qwen.has_chat_template() {
        return Err(ourvidz_qwen::Error::NoTemplate.into());
    }
    let system: Vec<Message> = options.system_prompt.iter().map(Message::system).collect();
    let mut messages = system.clone();
    let stdin = std::io::stdin();
    let asks = stdin.is_terminal() && !json;
    if asks {
        output::error(&format!("{}; /reset begins anew, the end of the input ends", qwen.name()));
        output::piece("> ");
    }
    for line in stdin.lock().lines() {
        let line = line.context("reading a message")?;
        match line.trim() {
            "" => {}
            "/reset" => messages = system.clone(),
            message => {
                messages.push(Message::user(message));
                let request = ChatRequest {
                    messages: messages.clone(),
                    enable_thinking: options.enable_thinking,
                    options: generate.clone(),
                };
                let reply = qwen.chat_with(&request, |piece| {
                    if !json {
                        output::piece(piece);
                    }
                    ControlFlow::Continue(())
                })?;
                let cut = reply.cut.map(|cut| cut.to_string());
                if json {
                    let mut value = report(&qwen, &reply.generated, &generate);
                    value["cut"] = json!(cut);
                    output::line(&value.to_string());
                } else {
                    output::piece("\n");
                    if let Some(cut) = cut {
                        output::error(&format!("the conversation is too long: {cut}"));
                    }
                }
                messages.push(Message::assistant(reply.generated.text));
            }
        }
        if asks {
            output::piece("> ");
        }
    }
    Ok(())
}
