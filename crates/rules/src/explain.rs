//! One decision, rule by rule.
