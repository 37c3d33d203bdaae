//! What a held UDP packet costs besides its bytes: what the pool's own accounts say before and after.

use crate::fill::{self, WIDEST, remote};
use crate::table::{Row, Table};
use wire::settings::Settings;

const HELD: u32 = 2_000;
const PAYLOAD: usize = 1_200;
/// Sent with it, so kept with it.
const UDP_HEADER: usize = 8;

/// Measures.
pub fn measure(table: &mut Table) {
    let machine = fill::machine();
    let packet_bytes = *Settings::PACKET_BYTES.end();
    let service = machine.service(Settings { max_packet_bytes: packet_bytes, ..WIDEST });
    let program = machine.program("dns.exe");
    let socket = program.udp(machine.engine(), false);
    let pool = || machine.kernel().all_pool_bytes();
    let before = pool();
    for n in 0..HELD {
        socket.send_bytes(remote(n), &[0x55; PAYLOAD]);
    }
    let each = (pool() - before) as f64 / f64::from(HELD);
    let stats = service.stats();
    assert_eq!((stats.pended, stats.kept_packets), (HELD, HELD), "{stats:?}");
    let over = each - (PAYLOAD + UDP_HEADER) as f64;
    table.add(Row {
        what: format!("nonpaged pool for a held UDP packet of {PAYLOAD} bytes, over its bytes"),
        measured: format!("{over:.1} bytes"),
        baseline: String::new(),
        goal: "<= 256",
        is_met: over <= 256.0,
    });
    service.close();
}
