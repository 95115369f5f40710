//! What the kernel says in `/proc`: read anew at each call, absent when it does not say.

use std::fs;

/// Memory that programs can still get, in MiB; 0 when the kernel does not say.
pub fn available_memory_mb() -> u64 {
    fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

/// When a process started, in clock ticks since boot: with the pid it names one process until the next
/// boot. `None` when it has ended.
pub fn started_ticks(pid: i32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// The parent of a process; `None` when it has ended.
pub fn parent(pid: i32) -> Option<i32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Field `number` of `/proc/PID/stat`, by the numbers of proc(5): from 3.
fn stat_field(pid: i32, number: usize) -> Option<String> {
    field_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, number)
}

fn field_of(stat: &str, number: usize) -> Option<String> {
    // The command's name, field 2, is in parentheses and may hold both them and spaces.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Every process that this one can see.
pub fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The kernel's name for the time since it was booted; empty when it does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_called_anything() {
        let stat = "12 (a) b ) c) S 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3";
        assert_eq!(field_of(stat, 3).as_deref(), Some("S"));
        assert_eq!(field_of(stat, 4).as_deref(), Some("7"));
        assert_eq!(field_of(stat, 22).as_deref(), Some("4711"));
        assert_eq!(field_of(stat, 2), None);
    }

    #[test]
    fn this_process_is_there_with_its_parent() {
        let own = std::process::id() as i32;
        assert!(processes().any(|pid| pid == own));
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id() as i32));
        assert!(started_ticks(own).is_some_and(|ticks| ticks > 0));
        assert!(available_memory_mb() > 0 && !boot_id().is_empty());
    }
}
