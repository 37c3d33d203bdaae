//! The gate's behaviour, one story each. Rules cited as R are the project's rules for pend, complete and reauthorize.
//!
//! Neighbours: `model` tries everything else, at random.

#[path = "../common/mod.rs"]
mod common;
mod harness;

mod answers;
mod caching;
mod closing;
mod inbound;
mod packets;
mod pending;
mod questions;
mod reauthorizing;
mod the_service;
mod the_way_of_a_connection;
mod time;
mod without_the_lock;

use common::{Numbered, SID, utf16};
use gate::{Action, Busy, Closing, Closure, GRACE_MS, Gate, Outgoing, Owner, Pended, Reauthorized, Room, Then};
use harness::{Connect, Harness, PACKET, SERVICE};
use wire::batch::{self, BatchWriter};
use wire::request::{Because, Direction, MAX_PATH_BYTES, RequestFlags};
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

const WEB: &str = "tcp 10.0.0.2:5000 -> 1.1.1.1:443";
const OTHER: &str = "tcp 10.0.0.2:5001 -> 1.1.1.1:443";
const ELSEWHERE: &str = "tcp 10.0.0.2:5002 -> [2001:db8::1]:443";
const DNS: &str = "udp 10.0.0.2:6000 -> 9.9.9.9:53";
const OWN: &str = "tollgate[100] tcp 10.0.0.2:5003 -> 1.1.1.1:443";
const PERMIT: Verdict = Verdict::PERMIT;
const BLOCK: Verdict = Verdict::BLOCK;
