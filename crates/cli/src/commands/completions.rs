//! `tollgate completions`: completions for a shell.
//!
//! Neighbours: `args` is what is completed.

use crate::args;
use crate::failure::Failure;
use crate::output::printer::print;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate completions bash > /etc/bash_completion.d/tollgate
  tollgate completions zsh > ~/.zfunc/_tollgate
  tollgate completions fish > ~/.config/fish/completions/tollgate.fish
  tollgate completions powershell >> $PROFILE")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Carries it out.
pub fn run(args: &Args) -> Result<(), Failure> {
    Ok(print(script(args.shell).trim_end())?)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut args::Args::command(), "tollgate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in args::Args::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell} does not know {}", command.get_name());
            }
        }
    }
}
