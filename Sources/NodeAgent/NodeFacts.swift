import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// Reads what a node is and has from its kernel's files.
enum NodeFacts {
    /// The programs that are looked for.
    static let programs = [
        "bash", "conntrack", "containerd", "containerd-shim-runc-v2", "crictl", "ctr", "docker", "dockerd", "ebtables",
        "ethtool",
        "ip", "ipset", "iptables", "kubeadm", "kubectl", "kubelet", "modprobe", "mount", "nft", "runc", "socat",
        "sysctl",
        "systemctl", "tar",
    ]

    /// Reads the facts.
    ///
    /// - Parameter folder: a folder of the file system whose free space counts.
    static func read(agentDigest: Digest, folder: FilePath) async throws -> HostFacts {
        try await BlockingPool.shared.run { try readBlocking(agentDigest: agentDigest, folder: folder) }
    }

    private static func readBlocking(agentDigest: Digest, folder: FilePath) throws -> HostFacts {
        var system = utsname()
        guard uname(&system) == 0 else {
            throw Failure(.system, "cannot ask the kernel its name", causes: [Errno(rawValue: errno)])
        }
        let mounts = try text("/proc/self/mounts")
        return HostFacts(
            hostname: string(system.nodename),
            kernel: string(system.release),
            operatingSystem: operatingSystem(
                try optionalText("/etc/os-release") ?? optionalText("/usr/lib/os-release") ?? ""),
            platform: .current,
            processors: max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))),
            memory: memory(try text("/proc/meminfo")),
            hasSwap: hasSwap(try optionalText("/proc/swaps") ?? ""),
            freeDisk: try freeDisk(folder),
            addresses: try addresses(),
            cgroups: cgroups(mounts),
            hasSystemd: Folder.exists("/run/systemd/system"),
            isContainer: exists("/run/systemd/container") || exists("/.dockerenv") || exists("/run/.containerenv"),
            capabilities: capabilities(try text("/proc/self/status")),
            programs: findPrograms(),
            listeningPorts: listeningPorts([
                try optionalText("/proc/net/tcp") ?? "", try optionalText("/proc/net/tcp6") ?? "",
            ]),
            clock: clock(),
            agentDigest: agentDigest,
            isKubernetesNode: exists("/etc/kubernetes/kubelet.conf"),
            occupied: Occupancy.occupied(),
            runtimes: try Occupancy.runtimes()
        )
    }

    // MARK: - The kernel's texts

    /// `PRETTY_NAME` of os-release(5), or the like.
    static func operatingSystem(_ text: String) -> String {
        var values: [Substring: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[parts[0]] = String(parts[1].drop { $0 == "\"" || $0 == "'" }.prefix { $0 != "\"" && $0 != "'" })
        }
        return values["PRETTY_NAME"] ?? values["NAME"] ?? "Linux"
    }

    /// `MemTotal` of /proc/meminfo in bytes; 0 when it is not told.
    static func memory(_ text: String) -> Int64 {
        for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
            let words = line.split(separator: " ")
            if words.count >= 2, let kilobytes = Int64(words[1]), kilobytes < 1 << 50 { return kilobytes * 1024 }
        }
        return 0
    }

    /// Whether /proc/swaps lists anything below its heading.
    static func hasSwap(_ text: String) -> Bool {
        text.split(separator: "\n").count > 1
    }

    /// Which control groups /proc/self/mounts shows: `v1`, `v2`, `hybrid`, or `none`.
    static func cgroups(_ mounts: String) -> String {
        let places = mounts.split(separator: "\n").compactMap { line -> (path: Substring, kind: Substring)? in
            let words = line.split(separator: " ")
            guard words.count > 2 else { return nil }
            return (path: words[1], kind: words[2])
        }
        // What lies there is what kubelet goes by, whatever else somebody has mounted elsewhere.
        if places.last(where: { $0.path == "/sys/fs/cgroup" })?.kind == "cgroup2" { return "v2" }
        let types = places.map(\.kind)
        switch (types.contains("cgroup"), types.contains("cgroup2")) {
        case (true, true): return "hybrid"
        case (true, false): return "v1"
        case (false, true): return "v2"
        case (false, false): return "none"
        }
    }

    /// `CapBnd` of /proc/self/status.
    static func capabilities(_ status: String) -> UInt64 {
        for line in status.split(separator: "\n") where line.hasPrefix("CapBnd:") {
            return line.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) } ?? 0
        }
        return 0
    }

    /// The ports in state LISTEN of /proc/net/tcp and tcp6, sorted.
    static func listeningPorts(_ tables: [String]) -> [UInt16] {
        var ports: Set<UInt16> = []
        for line in tables.flatMap({ $0.split(separator: "\n").dropFirst() }) {
            let words = line.split(separator: " ")
            guard words.count > 3, words[3] == "0A", let port = words[1].split(separator: ":").last else { continue }
            if let number = UInt16(port, radix: 16) { ports.insert(number) }
        }
        return ports.sorted()
    }

    // MARK: - System calls

    private static func text(_ path: FilePath) throws -> String {
        String(decoding: try LinuxSystem.readFile(path, limit: 16 << 20), as: UTF8.self)
    }

    private static func optionalText(_ path: FilePath) throws -> String? {
        do {
            return try text(path)
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func string<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func clock() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        // No test can set the clock of a host without setting that of the machine it runs on.
        return Double(now.tv_sec + Failpoint.shift("clock")) + Double(now.tv_nsec) / 1e9
    }

    private static func freeDisk(_ folder: FilePath) throws -> Int64 {
        // The folder may not be made yet; what is above it is on the same file system then.
        var place = folder
        var information = statvfs()
        while statvfs(place.string, &information) != 0 {
            guard errno == ENOENT, !place.components.isEmpty else {
                throw Failure(
                    .system, "cannot ask for the free space", at: place.string, causes: [Errno(rawValue: errno)])
            }
            place.removeLastComponent()
        }
        return Int64(
            clamping: UInt64(information.f_bavail).multipliedReportingOverflow(by: UInt64(information.f_frsize))
                .partialValue)
    }

    private static func findPrograms() -> [String] {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = (path.isEmpty ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" : path).split(
            separator: ":")
        return programs.filter { name in folders.contains { access("\($0)/\(name)", X_OK) == 0 } }
    }

    /// The addresses of the interfaces that are up, without loopback and link-local ones, IPv4 first, in the kernel's order.
    private static func addresses() throws -> [String] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else {
            throw Failure(.system, "cannot list the network interfaces", causes: [Errno(rawValue: errno)])
        }
        defer { freeifaddrs(first) }
        var version4: [String] = []
        var version6: [String] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let address = entry.ifa_addr, entry.ifa_flags & UInt32(IFF_UP) != 0,
                entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0
            else { continue }
            let family = Int32(address.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            var buffer = [CChar](repeating: 0, count: 1025)
            guard getnameinfo(address, socklen_t(size), &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
            else {
                continue
            }
            let text = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            if family == AF_INET {
                if !text.hasPrefix("169.254.") { version4.append(text) }
            } else if !text.hasPrefix("fe80:") {
                version6.append(text)
            }
        }
        return version4 + version6
    }
}
