import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

/// The kernel's capabilities (capabilities(7)), by number.
enum Capability {
    /// Their names without `CAP_`, from number 0.
    static let names = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ]

    /// Those that engines before Docker 23 (API 1.42) do not know.
    static let recent: Set<String> = ["PERFMON", "BPF", "CHECKPOINT_RESTORE"]

    /// The names of a set of capabilities, in the order of their numbers.
    static func names(of set: UInt64) -> [String] {
        names.indices.filter { set >> UInt64($0) & 1 == 1 }.map { names[$0] }
    }

    /// `CapBnd` of a text like /proc/self/status.
    ///
    /// - Throws: `Failure` of kind `system` when there is none.
    static func boundingSet(of status: String) throws -> UInt64 {
        for line in status.split(separator: "\n") where line.hasPrefix("CapBnd:") {
            if let word = line.split(whereSeparator: \.isWhitespace).last, let set = UInt64(word, radix: 16) {
                return set
            }
        }
        throw Failure(
            .system, "the kernel does not tell the capabilities that processes may have", at: "/proc/self/status")
    }

    /// The bounding set of this process: what the machine itself has, and so the most that a container on it can get.
    static func ownBoundingSet() async throws -> UInt64 {
        try await BlockingPool.shared.run {
            try boundingSet(of: String(decoding: readFile("/proc/self/status", limit: 1 << 16), as: UTF8.self))
        }
    }
}
