//! temporary
use crate::asker::Asker;
use lab_sockets::{Answer, Control, Question};
use nt_sys::types::NTSTATUS;
pub fn boot() {}
pub fn ask(asker: &Asker, question: &Question, done: impl FnOnce(Answer) + Send + 'static) {
    lab_shim::violations::print(&format!("lab: {asker:?} {question:?}"));
    done(if question.remote.port % 2 == 1 { Answer::Block } else { Answer::Permit });
}
pub fn snapshot() -> String {
    serde_json::json!({ "kernel": lab_shim::report() }).to_string()
}
pub fn control(_: Control) -> Result<(), NTSTATUS> {
    Ok(())
}
