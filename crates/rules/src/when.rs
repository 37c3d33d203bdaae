//! `when`: a condition in the Common Expression Language (CEL), for what the other keys cannot say.
//!
//! Evaluated only after all other conditions of its rule held. Invariants: an expression knows [`VARIABLES`] and
//! [`FUNCTIONS`] and nothing else; its cost is bounded by its length, since it may go over lists that are written in it
//! only, and not over one for each element of another; an expression that cannot be evaluated does not hold.
//! Neighbours: `language` checks, `walk` evaluates. The language: <https://github.com/google/cel-spec>.

use crate::facts::{Flow, Identity, Needs, Program};
use crate::language::Wrong;
use crate::model::{has_ports, is_icmp, protocol_name};
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::common::types::{CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::{Arc, LazyLock};
use wire::request::Direction;

/// The longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 1024;

/// How deep brackets may be nested, each `?` counting as one. The parser's stack grows with it.
pub const MAX_NESTED: usize = 12;

/// The variables of an expression, and what each is. Text that is not known is `""`, a number that is not there `0`.
pub const VARIABLES: [(&str, &str); 27] = [
    ("program.path", "the program file's full path"),
    ("program.name", "its file name"),
    ("program.sha256", "SHA-256 of its contents, lower-case hexadecimal"),
    ("program.publisher", "who signed it"),
    ("program.package", "the package it belongs to"),
    ("program.service", "the service it runs as"),
    ("parent.path", "the full path of the program that started it"),
    ("parent.name", "its file name"),
    ("parent.sha256", "SHA-256 of its contents, lower-case hexadecimal"),
    ("parent.publisher", "who signed it"),
    ("parent.package", "the package it belongs to"),
    ("parent.service", "the service it runs as"),
    ("user.id", "the user's SID or user id"),
    ("user.name", "the user's name"),
    ("command_line", "the command line"),
    ("direction", "`out` or `in`"),
    ("protocol", "the name of the IP protocol, such as `tcp`, or its number, as text"),
    ("remote.address", "the remote IP address, as text"),
    ("remote.port", "the remote port, a number"),
    ("remote.name", "the name that the remote address was looked up by"),
    ("local.port", "the local port, a number"),
    ("interface", "the local interface"),
    ("icmp.type", "the ICMP or ICMPv6 type, a number"),
    ("icmp.code", "the ICMP or ICMPv6 code, a number"),
    ("time.hour", "0 to 23, in the machine's time zone"),
    ("time.minute", "0 to 59"),
    ("time.weekday", "1, Monday, to 7, Sunday"),
];

/// The functions of an expression, and the names that operators and macros have in the language's syntax tree.
pub const FUNCTIONS: [&str; 6] = ["contains", "startsWith", "endsWith", "size", "int", "string"];
const OPERATORS: [&str; 17] = [
    "_?_:_", "_&&_", "_||_", "!_", "_-_", "_+_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_>=_", "_<=_", "_>_", "_<_",
    "-_", "@in",
];
const OF_MACROS: [&str; 1] = ["@not_strictly_false"];

/// Built once: it holds some hundred functions.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression, compiled.
#[derive(Debug)]
pub struct Expression {
    program: cel::Program,
    /// The facts that it turns on.
    needs: Vec<Need>,
    is_about_name: bool,
}

/// Facts that an expression may need, and whether what it needs them for is known.
type Need = (Needs, fn(&Identity) -> bool);

/// What an expression is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who connects.
    pub identity: &'a Identity,
    /// Where to.
    pub flow: &'a Flow<'a>,
    /// The time zone of `time`; UTC when `None`.
    pub time_zone: Option<&'a TimeZone>,
}

/// Checks an expression.
pub fn check(text: &str) -> Result<(), Wrong> {
    let expression = Expression::compile(text)?;
    // Types are known only in the evaluation; one with nothing known shows most that cannot be right.
    let identity = Identity::default();
    let address = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let flow = Flow {
        direction: Direction::OUTBOUND,
        protocol: 6,
        local: address,
        remote: address,
        name: None,
        is_name_sure: true,
        interface: None,
        now: 0,
    };
    match expression.evaluate(Facts { identity: &identity, flow: &flow, time_zone: None }) {
        Err(EvaluationError::NotBool | EvaluationError::Types(_)) => {
            Err(Wrong::new("the expression does not say yes or no")
                .help("compare texts with texts, numbers with numbers"))
        }
        Ok(_) | Err(EvaluationError::Other(_)) => Ok(()),
    }
}

/// Why an expression could not be evaluated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// It gave something else than yes or no.
    #[error("it is neither true nor false")]
    NotBool,
    /// It does with a value what cannot be done with one of its type.
    #[error("{0}")]
    Types(String),
    /// Something else, such as a division by zero.
    #[error("{0}")]
    Other(String),
}

impl Expression {
    /// Compiles.
    pub fn compile(text: &str) -> Result<Self, Wrong> {
        if text.len() > MAX_EXPRESSION {
            return Err(Wrong::new(format!("an expression has at most {MAX_EXPRESSION} characters")));
        }
        check_nesting(text)?;
        let program = parse(text)?.map_err(|errors| {
            let Some(error) = errors.errors.first() else { return Wrong::new("this is not an expression") };
            let what = error.msg.lines().next().unwrap_or_default().trim_start_matches("Syntax error: ");
            let what = what.split(" expecting").next().unwrap_or_default().replace("'<EOF>'", "at the end");
            Wrong::new(format!("this is not an expression: {what}")).shift(offset(text, error.pos))
        })?;
        let mut walk = Walk { program: &program, needs: Vec::new(), is_about_name: false, depth: 0 };
        walk.check(program.expression(), &mut Vec::new())?;
        let Walk { needs, is_about_name, .. } = walk;
        Ok(Self { program, needs, is_about_name })
    }

    /// The facts that it turns on and that are still being looked up.
    pub fn needs(&self, identity: &Identity) -> Needs {
        let open = self.needs.iter().filter(|(_, is_known)| !is_known(identity));
        open.fold(Needs::empty(), |all, (needs, _)| all | *needs) & identity.pending
    }

    /// Whether it turns on the name of the remote end.
    pub const fn is_about_name(&self) -> bool {
        self.is_about_name
    }

    /// Evaluates.
    pub fn evaluate(&self, facts: Facts<'_>) -> Result<bool, EvaluationError> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.set_variable_resolver(&facts);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(EvaluationError::NotBool),
            Err(error @ (ExecutionError::NoSuchOverload(_) | ExecutionError::UnexpectedType { .. })) => {
                Err(EvaluationError::Types(error.to_string()))
            }
            Err(error) => Err(EvaluationError::Other(error.to_string())),
        }
    }
}

/// How deep the tree of an expression may be, which the evaluation's stack grows with: `1 + 1 + 1` is two deep.
const MAX_DEPTH: usize = 40;

/// The parser's stack: a bracket takes up to 200 kB of it in a build without optimization, more than threads have for
/// [`MAX_NESTED`].
const PARSER_STACK: usize = 32 << 20;

/// Parses, on a stack of its own.
fn parse(text: &str) -> Result<Result<cel::Program, cel::ParseErrors>, Wrong> {
    let failed = || Wrong::new("this expression cannot be parsed now").help("is there memory for one more thread?");
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(PARSER_STACK);
        let parser = parser.spawn_scoped(scope, || ENVIRONMENT.compile(text)).map_err(|_| failed())?;
        parser.join().map_err(|_| failed())
    })
}

/// Refuses brackets that are nested too deep. So that it tells texts from brackets as surely as the parser, it refuses what
/// it would have to read in ways of their own: comments, raw texts, escapes by number, and names in backticks.
fn check_nesting(text: &str) -> Result<(), Wrong> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let what = match (quote, c) {
            (Some(end), c) if c == end => {
                quote = None;
                continue;
            }
            (Some(_), '\\') if next.is_some_and(|next| "\\'\"nrt".contains(next)) => {
                chars.next();
                continue;
            }
            (Some(_), '\\') => "only \\\\, \\', \\\", \\n, \\r and \\t are escapes here",
            (Some(_), '\n' | '\r') => "a text goes over the end of its line",
            (Some(_), _) => continue,
            (None, '\'' | '"') if text[..at].ends_with(|before: char| before.is_ascii_alphanumeric()) => {
                "there are no raw texts and no bytes here"
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                continue;
            }
            (None, '/') if next == Some('/') => "there are no comments here",
            (None, '`') => "there are no backticks here",
            (None, '(' | '[' | '{' | '?') if depth == MAX_NESTED => "its brackets are nested too deep",
            (None, '(' | '[' | '{' | '?') => {
                depth += 1;
                continue;
            }
            (None, ')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                continue;
            }
            (None, _) => continue,
        };
        return Err(Wrong::new(format!("this is not an expression: {what}")).shift(at));
    }
    match quote {
        Some(_) => Err(Wrong::new("this is not an expression: a text lacks its end").shift(text.len())),
        None => Ok(()),
    }
}

/// The byte at a line, from 1, and a column, from 0 or 1, of a message: near enough to point at.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let column = usize::try_from(column - 1).unwrap_or(0);
    text[before..].char_indices().nth(column).map_or(text.len(), |(at, _)| before + at)
}

/// Checks an expression's tree.
struct Walk<'p> {
    program: &'p cel::Program,
    needs: Vec<Need>,
    is_about_name: bool,
    /// How deep it is in the tree.
    depth: usize,
}

impl Walk<'_> {
    fn wrong(&self, node: &IdedExpr, message: String) -> Wrong {
        let at = self.program.source_info().offset_for(node.id).map_or(0, |(begin, _)| begin as usize);
        Wrong::new(message).shift(at)
    }

    fn check<'p>(&mut self, node: &'p IdedExpr, locals: &mut Vec<&'p str>) -> Result<(), Wrong> {
        if self.depth == MAX_DEPTH {
            let wrong = self.wrong(node, "the expression is nested too deep".into());
            return Err(wrong.help("make it several rules"));
        }
        self.depth += 1;
        let checked = self.check_node(node, locals);
        self.depth -= 1;
        checked
    }

    /// `locals` are the names that a macro gives to the elements of a list.
    fn check_node<'p>(&mut self, node: &'p IdedExpr, locals: &mut Vec<&'p str>) -> Result<(), Wrong> {
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if locals.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => self.variable(node, name),
            Expr::Select(select) if !select.test => match &select.operand.expr {
                Expr::Ident(root) if !locals.contains(&root.as_str()) => {
                    self.variable(&select.operand, &format!("{root}.{}", select.field))
                }
                _ => Err(self.wrong(node, format!("`.{}` of something that has no parts", select.field))),
            },
            Expr::Select(_) => {
                let wrong = self.wrong(node, "`has` says nothing here: every variable is there".into());
                Err(wrong.help("text that is not known is `\"\"`"))
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_known = OPERATORS.contains(&name)
                    || FUNCTIONS.contains(&name)
                    || (!locals.is_empty() && OF_MACROS.contains(&name));
                if !is_known {
                    let wrong = self.wrong(node, format!("there is no function `{name}` here"));
                    // The place of a call is that of its parenthesis.
                    let is_before =
                        self.program.source_info().source.get(..wrong.at).is_some_and(|s| s.ends_with(name));
                    let at = if is_before { wrong.at - name.len() } else { wrong.at };
                    return Err(Wrong { at, ..wrong }.known(name, FUNCTIONS));
                }
                call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|one| self.check(one, locals))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|one| self.check(one, locals)),
            Expr::Comprehension(over) => {
                let is_outermost = locals.is_empty();
                if !is_outermost || !matches!(over.iter_range.expr, Expr::List(_)) {
                    let wrong =
                        self.wrong(node, "it goes over something else than one list that is written in it".into());
                    return Err(wrong.help("its cost must be bounded by its length"));
                }
                self.check(&over.iter_range, locals)?;
                locals.extend([over.iter_var.as_str(), over.accu_var.as_str()]);
                locals.extend(over.iter_var2.as_deref());
                let inner = [&over.accu_init, &over.loop_cond, &over.loop_step, &over.result];
                let checked = inner.into_iter().try_for_each(|one| self.check(one, locals));
                locals.clear();
                checked
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.check(&entry.key, locals)?;
                        self.check(&entry.value, locals)?;
                    }
                }
                Ok(())
            }
            Expr::Struct(_) | Expr::Unspecified => Err(self.wrong(node, "there are no such values here".into())),
        }
    }

    fn variable(&mut self, node: &IdedExpr, name: &str) -> Result<(), Wrong> {
        if !VARIABLES.iter().any(|(known, _)| *known == name) {
            let wrong = self.wrong(node, format!("there is no variable `{name}`"));
            let of_it =
                VARIABLES.iter().map(|(known, _)| *known).filter(|known| known.starts_with(&format!("{name}.")));
            let of_it: Vec<&str> = of_it.collect();
            return Err(match of_it.as_slice() {
                [] => wrong.known(name, VARIABLES.iter().map(|(known, _)| *known)),
                of_it => wrong.help(format!("one of {}", of_it.join(", "))),
            });
        }
        let needed: Option<Need> = match name {
            "program.sha256" => Some((Needs::HASH, |identity| identity.program.sha256.is_some())),
            "program.publisher" => Some((Needs::PUBLISHER, |identity| identity.program.publisher.is_some())),
            "program.package" => Some((Needs::PROCESS, |identity| identity.program.package.is_some())),
            "program.service" => Some((Needs::PROCESS, |identity| identity.program.service.is_some())),
            "parent.path" | "parent.name" => Some((Needs::PROCESS, |identity| parent(identity, |p| &p.path))),
            "parent.sha256" => Some((OF_PARENT_FILE.0, |identity| parent(identity, |p| &p.sha256))),
            "parent.publisher" => Some((OF_PARENT_FILE.1, |identity| parent(identity, |p| &p.publisher))),
            "parent.package" => Some((Needs::PROCESS, |identity| parent(identity, |p| &p.package))),
            "parent.service" => Some((Needs::PROCESS, |identity| parent(identity, |p| &p.service))),
            "user.id" => Some((Needs::PROCESS, |identity| identity.user.is_some())),
            "user.name" => {
                Some((Needs::PROCESS, |identity| identity.user.as_ref().is_some_and(|user| user.name.is_some())))
            }
            "command_line" => Some((Needs::PROCESS, |identity| identity.command_line.is_some())),
            _ => None,
        };
        self.needs.extend(needed);
        self.is_about_name |= name == "remote.name";
        Ok(())
    }
}

/// What the hash and the publisher of the parent take: to know it first.
const OF_PARENT_FILE: (Needs, Needs) = (Needs::PROCESS.union(Needs::HASH), Needs::PROCESS.union(Needs::PUBLISHER));

/// Whether a part of the parent is known.
fn parent(identity: &Identity, part: fn(&Program) -> &Option<Arc<str>>) -> bool {
    identity.parent.as_deref().is_some_and(|parent| part(parent).is_some())
}

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let text = |text: Option<&'b str>| Some(CowVal::owned(CelString::from(text.unwrap_or_default())));
        let owned = |text: String| Some(CowVal::owned(CelString::from(text)));
        let number = |number: i64| Some(CowVal::owned(CelInt::from(number)));
        let Self { identity, flow, .. } = *self;
        let port = |port: u16| number(if has_ports(flow.protocol) { port.into() } else { 0 });
        let icmp = |value: u16| number(if is_icmp(flow.protocol) { value.into() } else { 0 });
        if let Some((of, field)) = variable.split_once('.') {
            let program = match of {
                "program" => Some(Some(&identity.program)),
                "parent" => Some(identity.parent.as_deref()),
                _ => None,
            };
            if let Some(program) = program {
                let Some(program) = program else { return text(None) };
                return match field {
                    "path" => text(program.path.as_deref()),
                    "name" => text(program.path.as_deref().and_then(|path| path.rsplit(['/', '\\']).next())),
                    "sha256" => text(program.sha256.as_deref()),
                    "publisher" => text(program.publisher.as_deref()),
                    "package" => text(program.package.as_deref()),
                    "service" => text(program.service.as_deref()),
                    _ => None,
                };
            }
        }
        match variable {
            "user.id" => text(identity.user.as_ref().map(|user| &*user.id)),
            "user.name" => text(identity.user.as_ref().and_then(|user| user.name.as_deref())),
            "command_line" => text(identity.command_line.as_deref()),
            "direction" => text(match flow.direction {
                Direction::OUTBOUND => Some("out"),
                Direction::INBOUND => Some("in"),
                _ => None,
            }),
            "protocol" => match protocol_name(flow.protocol) {
                Some(name) => text(Some(name)),
                None => owned(flow.protocol.to_string()),
            },
            "remote.address" => owned(flow.remote.ip().to_canonical().to_string()),
            "remote.port" => port(flow.remote.port()),
            "remote.name" => text(flow.name),
            "local.port" => port(flow.local.port()),
            "interface" => text(flow.interface),
            "icmp.type" => icmp(flow.local.port()),
            "icmp.code" => icmp(flow.remote.port()),
            "time.hour" | "time.minute" | "time.weekday" => {
                let zone = self.time_zone.cloned().unwrap_or(TimeZone::UTC);
                let now = Timestamp::from_second(flow.now).unwrap_or_default().to_zoned(zone);
                number(match variable {
                    "time.hour" => now.hour().into(),
                    "time.minute" => now.minute().into(),
                    _ => now.weekday().to_monday_one_offset().into(),
                })
            }
            _ => None,
        }
    }
}
