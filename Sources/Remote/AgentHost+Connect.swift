import FoundationEssentials
import OCI
import Report
import SystemPackage

extension AgentHost {
    /// Connects to the agent of a host, putting sealer's executable there first when it is absent or another one.
    ///
    /// The executable lies at `BASE/bin/HEX/sealer`, HEX being the first twelve characters of its digest. A copy is placed under a
    /// temporary name and gets its own only after it ran and named its digest itself.
    ///
    /// - Parameters:
    ///   - executable: the executable on this machine: fully static, for the host's processor.
    ///   - executableDigest: its digest.
    ///   - base: sealer's folder on the host.
    ///   - store: the store on the host.
    ///   - failpoints: those that the agent shall have, for tests (see `Failpoint`).
    /// - Throws: `Failure` of kind `unreachable` when the agent does not come up there, `integrity` when what runs there is not
    ///   what was sent.
    public static func connect(
        over transport: any Transport,
        executable: FilePath,
        executableDigest: Digest,
        base: FilePath = "/var/lib/sealer",
        store: FilePath = "/var/lib/sealer/store",
        failpoints: String? = nil
    ) async throws -> AgentHost {
        // First of all, so that a host out of reach is told once, and not taken for one without an agent.
        try await transport.reach()
        let path = base.appending("bin").appending(executableDigest.short).appending("sealer")
        let options = ["node", "agent", "--store", store.string]
        let before = failpoints.map { ["/usr/bin/env", "\(Failpoint.variable)=\($0)"] } ?? []
        do {
            let host = try await begin(transport, path, before + [path.string] + options, path)
            if try await host.greet() == executableDigest { return host }
            await host.close()
        } catch let failure as Failure
            where [.unreachable, .integrity, .notFound, .system, .timeout].contains(failure.kind)
        {
            // Nothing there, or nothing that speaks our protocol: it is placed anew. A host that is really out of reach fails
            // again below, with its reason.
        }

        let temporary = path.removingLastComponent().appending("sealer.\(UInt32.random(in: 0...UInt32.max))")
        let permissions = FilePermissions(rawValue: 0o755)
        try await transport.place(executable, at: temporary, permissions: permissions)
        let host = try await begin(transport, temporary, before + [temporary.string] + options, path)
        do {
            let digest = try await host.greet()
            guard digest == executableDigest else {
                throw Failure(
                    .integrity,
                    "the executable that was placed has the digest \(digest) there, not \(executableDigest)",
                    at: "\(transport.host):\(temporary)"
                )
            }
            let reply = try await host.ask(
                .settle(path: path.string), limit: shortLimit, for: "the agent to take its place")
            guard reply == .done else { throw host.unexpected(reply) }
        } catch {
            await host.close()
            throw error
        }
        return host
    }

    private static func begin(
        _ transport: any Transport,
        _ program: FilePath,
        _ command: [String],
        _ path: FilePath
    ) async throws -> AgentHost {
        let channel = try await transport.start(command)
        return AgentHost(name: transport.host, executablePath: path, channel: channel)
    }

    /// Asks the agent who it is.
    private func greet() async throws -> Digest {
        let request = AgentRequest.hello(version: AgentProtocol.version)
        let reply: AgentReply
        do {
            reply = try await ask(request, limit: .seconds(60), for: "the host's agent to answer")
        } catch {
            await close()
            throw error
        }
        guard case .hello(let version, let digest) = reply else { throw unexpected(reply) }
        guard version == AgentProtocol.version else {
            throw Failure(
                .integrity, "the agent speaks version \(version) of the protocol, not \(AgentProtocol.version)",
                at: name)
        }
        return digest
    }
}
