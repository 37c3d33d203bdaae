//! How widely a decision may be remembered.
//!
//! The enforcement point remembers a verdict for a program (its path) and a direction, or for these with protocol, remote
//! address and remote port. So a decision may be remembered when, for whatever else is true of another connection with the
//! same key, the rules come to the same action: the rule that decided turns on the key alone, and so does every rule before
//! it that could match such a connection, unless it has the same action. Rules before it that turn on the key alone did not
//! match, and never will. Invariant: errs towards remembering less; [`Scope::OPERATION`](wire::verdict::Scope) is always
//! right.

use super::Index;
use super::conditions::{Conditions, Holds, Place};
use crate::model::Action;
use wire::request::Direction;

/// Rules, for processes of one program, that turn on more than the keys.
#[derive(Debug, Default)]
pub struct Uncertain {
    /// Those that turn on more than program, direction, protocol and remote address and port; in order.
    beyond_remote: Vec<u32>,
    /// By direction and action, the first that turns on more than program and direction.
    beyond_program: [[Option<u32>; 3]; 2],
}

/// How many rules are tested before a decision is not remembered.
const MAX_TESTED: usize = 16;

impl Uncertain {
    /// Adds a rule that is later in the order than those before. `is_for_all`: the program alone settles its conditions on
    /// the process.
    pub fn add(&mut self, place: u32, conditions: &Conditions, is_for_all: bool) {
        let rule = &conditions.rule;
        if !is_for_all || conditions.is_beyond_remote() {
            self.beyond_remote.push(place);
        }
        if !is_for_all || conditions.is_beyond_direction() {
            for direction in [Direction::OUTBOUND, Direction::INBOUND] {
                if rule.direction.is_none_or(|wanted| wanted == direction) {
                    self.beyond_program[row(direction)][rule.action as usize].get_or_insert(place);
                }
            }
        }
    }

    /// Whether, as far as these rules go, what `winner` decided holds for the program in that direction, if it does not turn
    /// on more than that itself.
    pub fn allows_program(&self, winner: u32, action: Action, direction: Direction) -> bool {
        let is_known = [Direction::OUTBOUND, Direction::INBOUND].contains(&direction);
        is_known
            && self.beyond_program[row(direction)]
                .iter()
                .enumerate()
                .all(|(of, first)| of == action as usize || first.is_none_or(|first| first > winner))
    }

    /// Whether, as far as these rules go, what `winner` decided holds for all connections with the same key.
    pub fn allows_remote(&self, winner: u32, action: Action, index: &Index, place: &Place<'_>) -> bool {
        let mut tested = 0;
        for rule in self.beyond_remote.iter().take_while(|rule| **rule <= winner) {
            let conditions = &index.conditions[*rule as usize];
            if *rule != winner && conditions.rule.action == action {
                continue;
            }
            tested += 1;
            if tested > MAX_TESTED || conditions.by_remote(place, &index.hosts) != Holds::Never {
                return false;
            }
        }
        true
    }
}

const fn row(direction: Direction) -> usize {
    (direction.0 == Direction::INBOUND.0) as usize
}
