//! `tollgate run`: decide by rules, until asked to stop.
//!
//! Invariants: whoever reads what is printed does not hold the service up. Neighbours: `service::daemon` does the work,
//! `platform::daemon` says who runs us, `output` prints.

use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::line::printable;
use crate::output::printer::Printer;
use ::service::clock::{Now, SystemClock};
use ::service::config::Config;
use ::service::daemon::system::{self, SystemNames, SystemProcesses};
use ::service::daemon::{Daemon, Options, StartError};
use ::service::export;
use ::service::journal::{Event, Journal};
use ::service::sink::{Made, Sink};
use control::entry::{Entry, Verdict};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use platform::daemon::{self, Host, Kind};
use platform::dirs;
use rules::source::Problem;
use serde_json::json;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// How to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration, when it is not the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory of rules, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// The directory for answers and the log, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Where clients connect
    #[command(flatten)]
    pub place: Where,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Show each decision
    #[arg(short, long)]
    pub verbose: bool,
    /// Run for the service manager, which says when to stop
    #[arg(long, hide = true)]
    pub service: bool,
}

const EXAMPLES: &str = "Examples:
  tollgate run                                        with the usual directories, until Ctrl-C
  tollgate run -v                                     and show each decision
  tollgate run --rules ./rules --state ./state --control ./control.sock
                                                      with everything in one place, to try it";

/// Runs the service until Ctrl-C, or until the service manager stops it.
pub fn run(args: Args) -> Result<(), Failure> {
    let kind = if args.service { Kind::Service } else { Kind::Foreground };
    Ok(daemon::run(kind, move |host| serve(args, host))??)
}

fn serve(args: Args, host: &Host) -> Result<(), RunError> {
    // A reader that has gone is no reason not to keep the gate.
    let printer = Arc::new(Mutex::new(Some(Printer::start(io::stdout(), || ())?)));
    let lines = Lines { printer: printer.clone(), json: args.json };
    let daemon = Daemon::start(options(args, lines)?).map_err(RunError::Start)?;
    let stopper = daemon.clone();
    host.on_stop(move || stopper.stop())?;
    host.ready()?;
    daemon.wait();
    drop(daemon);
    let printer = printer.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(printer.map_or(Ok(()), Printer::finish)?)
}

fn options(args: Args, lines: Lines) -> Result<Options, RunError> {
    let config_file = args.config.unwrap_or_else(dirs::config_file);
    let config = Config::read(&config_file).map_err(RunError::Config)?;
    let told = lines.clone();
    let journal: Journal = Arc::new(move |now, event| told.tell(now, event));
    let sinks: Vec<Arc<dyn Sink>> = if args.verbose { vec![Arc::new(lines)] } else { Vec::new() };
    Ok(Options {
        config,
        config_file: Some(config_file),
        rules: args.rules.unwrap_or_else(dirs::rules),
        state: args.state.unwrap_or_else(dirs::state),
        environment: system::environment(),
        volumes: platform::volumes(),
        open: Box::new(platform::open),
        processes: Arc::new(SystemProcesses),
        interfaces: Arc::new(platform::interfaces::name),
        names: Some(Box::new(SystemNames)),
        clock: Arc::new(SystemClock::default()),
        boot: system::boot(),
        control: Some(args.place.endpoint().to_owned()),
        journal,
        sinks,
    })
}

/// Shows decisions, and what the service says about itself.
#[derive(Clone)]
struct Lines {
    printer: Arc<Mutex<Option<Printer>>>,
    json: bool,
}

impl Lines {
    fn print(&self, text: String) {
        if let Some(printer) = &*self.printer.lock().unwrap_or_else(PoisonError::into_inner) {
            // What has no room is in the log.
            let _lost = printer.print(text);
        }
    }

    fn tell(&self, now: Now, event: &Event) {
        let text = event.to_string();
        self.print(match self.json {
            true => json!({ "event": "service", "time": now.wall, "text": text }).to_string(),
            false => {
                let lines: Vec<String> = text.lines().map(printable).collect();
                format!("{}  {}", time(now.wall), lines.join("\n"))
            }
        });
    }
}

impl Sink for Lines {
    fn take(&self, made: &[Made]) {
        for Made { entry, .. } in made {
            self.print(if self.json { export::json::line(entry) } else { line(entry) });
        }
    }
}

/// When, verdict, program, remote end, process, why.
fn line(entry: &Entry) -> String {
    let verdict = match entry.verdict {
        Verdict::Permit => "PERMIT",
        Verdict::Block => "BLOCK",
    };
    let program = entry.identity.program.path.as_deref().map_or("?", export::file_name);
    let late = if entry.in_force { "" } else { "too late: " };
    let (program, place, why) =
        (printable(program), printable(&export::place(entry)), printable(&export::because(entry)));
    format!("{}  {verdict:<6}  {program:<16}  {place:<28}  pid {:<5}  {late}{why}", time(entry.time), entry.pid)
}

fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string()
}

/// Why the service does not run.
#[derive(Debug)]
enum RunError {
    /// The configuration has errors.
    Config(Vec<Problem>),
    /// It does not start.
    Start(StartError),
    /// The system does not let us speak, or listen.
    Io(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => {
                f.write_str("the configuration has errors:")?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {}", printable(&problem.to_string())))
            }
            Self::Start(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Start(error) => error.source(),
            Self::Io(error) => error.source(),
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let help = match &error {
            RunError::Config(_) => Some("correct them; a file that is not there is right, too"),
            RunError::Start(StartError::Control { source, .. }) => Some(match source.kind() {
                io::ErrorKind::AddrInUse => "another service runs: `tollgate status`",
                io::ErrorKind::PermissionDenied => "run this as administrator, or say `--control PATH`",
                _ => "say `--control PATH` for another place",
            }),
            RunError::Start(StartError::Thread(_)) | RunError::Io(_) => None,
        };
        Self::new(Exit::Failed, error, help)
    }
}
