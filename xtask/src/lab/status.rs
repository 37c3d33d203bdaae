//! The state of a lab, as `lab status` shows it and tests read it.
//!
//! The engine and the kernel's missing half report themselves as JSON (`lab/fwpkclnt`); the hooks' journal is counted
//! here.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One report.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// From what the engine's device answered and the journal of the hooks.
    pub fn new(report: &str, journal: &str) -> Result<Self> {
        let mut report: Value = serde_json::from_str(report).context("the engine's report is no JSON")?;
        let count = |word: &str| journal.lines().filter(|line| line.split(' ').next() == Some(word)).count();
        report["hooks"] = json!({
            "hooked": count("hooked"),
            "unhooked": count("unhooked"),
            "unanswered": count("unanswered"),
        });
        Ok(Self(report))
    }

    /// The report as JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// A number in the report, by JSON pointer; 0 where there is none.
    pub fn count(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// What drivers did that Windows would punish, as texts.
    pub fn violations(&self) -> Vec<String> {
        let texts = ["/engine/violations/texts", "/kernel/violations/texts"].map(|pointer| self.list(pointer));
        texts.into_iter().flatten().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Calls that went through although the engine could not be asked, and processes without the hook.
    pub fn let_through(&self) -> u64 {
        self.count("/hooks/unanswered") + self.count("/hooks/unhooked")
    }

    fn list(&self, pointer: &str) -> Vec<Value> {
        self.0.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    fn text(&self, value: &Value, key: &str) -> String {
        match &value[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |group: &str, names: &[&str]| {
            let counts = names.iter().map(|name| format!("{} {name}", self.count(&format!("/{group}/{name}"))));
            counts.collect::<Vec<_>>().join(", ")
        };
        let asked = ["asked", "permitted", "blocked", "lost", "cancelled", "waiting"];
        let counts = ["connects", "syns", "permitted", "blocked", "pended", "completed", "reauthorized"];
        writeln!(f, "questions   {}", of("questions", &asked))?;
        writeln!(f, "engine      {}", of("engine/counts", &counts))?;
        writeln!(f, "now         {}", of("engine", &["flows", "held", "closures_held"]))?;
        writeln!(f, "hooks       {}", of("hooks", &["hooked", "unhooked", "unanswered"]))?;
        for listener in self.list("/engine/listeners") {
            let [local, pid, held, waiting] = ["local", "pid", "held", "waiting"].map(|key| self.text(&listener, key));
            writeln!(f, "listener    {local} of process {pid}: {held} held, {waiting} waiting to be accepted")?;
        }
        for driver in self.list("/kernel/drivers") {
            let pool = driver["pool"].as_array().into_iter().flatten();
            let pool: u64 = pool.filter_map(|tag| tag["bytes"].as_u64()).sum();
            let (name, served) = (self.text(&driver, "name"), self.text(&driver, "imports_served"));
            let held = self.text(&driver, "requests_held");
            writeln!(f, "driver      {name}: {served} imports served, {pool} bytes of pool, {held} requests held")?;
        }
        for (kind, list) in [("callout", "/engine/callouts"), ("filter", "/engine/filters")] {
            for object in self.list(list) {
                let (name, layer) = (self.text(&object, "name"), self.text(&object, "layer"));
                let counts = |name: &str| object["counts"][name].as_u64().unwrap_or(0);
                let [called, permit, block, pended] = ["called", "permit", "block", "pended"].map(counts);
                let counts = format!("{called} called, {permit} permit, {block} block, {pended} pended");
                writeln!(f, "{kind:<11} {name} at {layer}: {counts}")?;
            }
        }
        let violations = self.violations();
        write!(f, "violations  {}", violations.len())?;
        violations.iter().try_for_each(|text| write!(f, "\n            {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_lines_are_counted_by_their_first_word() {
        let journal = "hooked pid=1 a.exe\nunanswered pid=1 hooked\nhooked pid=2 b.exe\n";
        let status = Status::new("{}", journal).unwrap();
        assert_eq!(status.count("/hooks/hooked"), 2);
        assert_eq!(status.let_through(), 1);
    }

    #[test]
    fn violations_of_engine_and_kernel_are_shown_together() {
        let report = r#"{"engine":{"violations":{"texts":["a"]}},"kernel":{"violations":{"texts":["b"]}}}"#;
        let status = Status::new(report, "").unwrap();
        assert_eq!(status.violations(), ["a", "b"]);
        assert!(status.to_string().ends_with("violations  2\n            a\n            b"));
    }
}
