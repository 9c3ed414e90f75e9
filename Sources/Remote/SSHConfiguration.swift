import FoundationEssentials

/// What ssh makes of the user's and the system's `ssh_config` for a target, as `ssh -G` prints it.
struct SSHConfiguration: Sendable, Hashable {
    /// Whom ssh logs in as.
    var user = ""
    /// Where ssh goes.
    var hostname = ""
    /// The port there.
    var port = 22
    /// The name that host keys go by, and that ssh's questions name, when it is another.
    var hostKeyAlias: String?
    /// The user's files of host keys.
    var knownHosts: [String] = []
    /// Whether the way leads through another host or program.
    var usesProxy = false

    /// Reads what `ssh -G` printed; what it does not know it passes over.
    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
            guard parts.count == 2 else { continue }
            let value = String(parts[1])
            switch parts[0].lowercased() {
            case "user": user = value
            case "hostname": hostname = value
            case "port": port = Int(value) ?? port
            case "hostkeyalias": hostKeyAlias = value
            case "userknownhostsfile": knownHosts = value.split(separator: " ").map(String.init)
            case "proxyjump", "proxycommand": usesProxy = usesProxy || value.lowercased() != "none"
            default: break
            }
        }
        // Quotes and dollars could not be said back to ssh; such a path is nobody's.
        knownHosts.removeAll { path in path == "none" || path.utf8.contains { "\"\\$".utf8.contains($0) } }
    }

    /// The host as files of host keys have it: `host`, or `[host]:port`.
    var knownHostsName: String {
        if let hostKeyAlias { return hostKeyAlias }
        return port == 22 ? hostname : "[\(hostname)]:\(port)"
    }
}
