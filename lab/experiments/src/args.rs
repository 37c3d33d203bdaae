//! The command line.

use std::net::IpAddr;

/// What `--help` prints.
pub const USAGE: &str = "usage: experiments [--json] [--peer ADDRESS] [NAME]...

Runs these experiments, or all but those that need a peer when none is given. As administrator, with the driver
running, and no service attached.

  --peer ADDRESS  the IPv4 address of a second machine on which `experiments --serve` runs
  --serve         be that machine, until ended; TCP and UDP port 7117 must be open on it
  --list          names and questions
  --json          one JSON object a line

exit codes: 0 nothing seen contradicts what Tollgate relies on; 1 an experiment could not run; 2 bad arguments;
3 something contradicts";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    Help,
    List,
    Serve,
    /// Be the program that connects; not for people.
    Program(Vec<String>),
    Run(Run),
}

/// Which experiments to run, and how.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub names: Vec<String>,
    pub peer: Option<IpAddr>,
    pub json: bool,
}

/// Reads the arguments.
pub fn read(words: &[String]) -> Result<Task, String> {
    let mut run = Run::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--serve" => return Ok(Task::Serve),
            "--program" => return Ok(Task::Program(words.cloned().collect())),
            "--json" => run.json = true,
            "--peer" => {
                let address = words.next().ok_or("--peer needs an address")?;
                run.peer = Some(address.parse().map(IpAddr::V4).map_err(|_| format!("{address} is no IPv4 address"))?);
            }
            option if option.starts_with('-') => return Err(format!("{option} is no option")),
            name => run.names.push(name.to_owned()),
        }
    }
    Ok(Task::Run(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(line: &str) -> Result<Task, String> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_peer_and_form_are_read_in_any_order() {
        let run = Run { names: vec!["inline".into()], peer: Some([192, 0, 2, 1].into()), json: true };
        assert_eq!(read_words("--peer 192.0.2.1 inline --json"), Ok(Task::Run(run)));
        assert_eq!(read_words(""), Ok(Task::Run(Run::default())));
        assert_eq!(read_words("--program connect x"), Ok(Task::Program(vec!["connect".into(), "x".into()])));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--peer", "--peer host", "--what"] {
            assert!(read_words(line).is_err(), "{line}");
        }
    }
}
