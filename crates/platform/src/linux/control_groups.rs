//! What the control group of a process says about it (man 7 cgroups, systemd.io/CGROUP_DELEGATION).
//!
//! Invariants: pure text. A user may name the groups below `user@1000.service` as they like, so the system's unit is the
//! topmost one. Neighbours: `process` reads the file.

/// The systemd unit of the system's manager: the topmost component that ends with `.service`.
pub fn system_unit(groups: &[u8]) -> Option<String> {
    components(groups)?.into_iter().find(|name| name.ends_with(".service"))
}

/// The id of a flatpak: `app-flatpak-org.mozilla.firefox-4242.scope`.
pub fn flatpak(groups: &[u8]) -> Option<String> {
    components(groups)?.iter().rev().find_map(|name| {
        let (id, instance) = name.strip_prefix("app-flatpak-")?.strip_suffix(".scope")?.rsplit_once('-')?;
        let is_number = !instance.is_empty() && instance.bytes().all(|c| c.is_ascii_digit());
        (is_number && !id.is_empty()).then(|| id.replace(r"\x2d", "-"))
    })
}

/// The components of the path in the unified hierarchy, or else in systemd's own.
fn components(groups: &[u8]) -> Option<Vec<String>> {
    let groups = String::from_utf8_lossy(groups);
    let path_of = |start: &str| groups.lines().find_map(|line| line.strip_prefix(start));
    let named = || groups.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    let path = path_of("0::").filter(|path| *path != "/").or_else(named)?;
    // A name that would be mistaken for the kernel's own is written with `_` before it (systemd.io, as above).
    Some(path.split('/').map(|name| name.strip_prefix('_').unwrap_or(name).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_the_system_is_named_by_its_unit() {
        assert_eq!(system_unit(b"0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        let template = br"0::/system.slice/system-getty.slice/getty@tty1.service";
        assert_eq!(system_unit(template).as_deref(), Some("getty@tty1.service"));
        let hybrid = b"12:pids:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n";
        assert_eq!(system_unit(hybrid).as_deref(), Some("cron.service"));
    }

    #[test]
    fn a_user_cannot_pass_for_a_service_of_the_system() {
        let faked = b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n";
        assert_eq!(system_unit(faked).as_deref(), Some("user@1000.service"));
        assert_eq!(system_unit(b"0::/user.slice/user-1000.slice/session-3.scope\n"), None);
        assert_eq!(system_unit(b"0::/\n"), None);
        assert_eq!(system_unit(b""), None);
    }

    #[test]
    fn a_flatpak_is_named_by_its_scope() {
        let scope = br"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.a\x2db.C-77.scope";
        assert_eq!(flatpak(scope).as_deref(), Some("org.a-b.C"));
        assert_eq!(flatpak(b"0::/app.slice/app-gnome-firefox-77.scope"), None);
        assert_eq!(flatpak(b"0::/app-flatpak--.scope"), None);
    }
}
