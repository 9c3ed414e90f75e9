import OCI

/// What lies at a path of a host.
public struct FileState: Sendable, Codable, Hashable {
    /// The content's digest, SHA-256.
    public var digest: Digest
    /// The permission bits.
    public var permissions: UInt32

    /// Makes a state.
    public init(digest: Digest, permissions: UInt32) {
        self.digest = digest
        self.permissions = permissions
    }
}

/// What systemd says of a service.
public struct ServiceState: Sendable, Codable, Hashable {
    /// Whether it runs.
    public var isActive: Bool
    /// Whether it starts at boot.
    public var isEnabled: Bool

    /// Makes a state.
    public init(isActive: Bool, isEnabled: Bool) {
        self.isActive = isActive
        self.isEnabled = isEnabled
    }

    /// Reads the output of `systemctl show --property=Id,ActiveState,UnitFileState UNIT…`, a paragraph for each unit.
    public static func list(fromShow text: String) -> [String: ServiceState] {
        var states: [String: ServiceState] = [:]
        var values: [Substring: Substring] = [:]
        func finish() {
            if let name = values["Id"] {
                states[String(name)] = ServiceState(
                    isActive: values["ActiveState"] == "active", isEnabled: values["UnitFileState"] == "enabled")
            }
            values = [:]
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[parts[0]] = parts[1] } else { finish() }
        }
        finish()
        return states
    }
}

extension Host {
    /// What systemd says of services; one that it does not know is neither active nor enabled.
    public func services(_ names: [String]) async throws -> [String: ServiceState] {
        guard !names.isEmpty else { return [:] }
        let result = try await check(
            RemoteCommand(["systemctl", "show", "--property=Id,ActiveState,UnitFileState", "--"] + names),
            purpose: "asking systemd for its services", limit: .seconds(30))
        return ServiceState.list(fromShow: result.outputText)
    }
}
