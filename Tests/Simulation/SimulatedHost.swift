import ApplyEngine
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import Infra
import OCI
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport

/// One machine of the world, as its agent shows it.
struct SimulatedHost: Host {
    let world: SimulatedWorld
    let name: String

    private func read<Result: Sendable>(_ body: (SimulatedWorld.Machine) throws -> Result) throws -> Result {
        try world.with { state in
            guard let machine = state.machines[name] else { throw Failure(.unreachable, "no such machine", at: name) }
            return try body(machine)
        }
    }

    private func change<Result: Sendable>(_ body: (inout SimulatedWorld.Machine) throws -> Result) throws -> Result {
        try world.write(name) { state in
            guard var machine = state.machines[name] else { throw Failure(.unreachable, "no such machine", at: name) }
            let result = try body(&machine)
            state.machines[name] = machine
            return result
        }
    }

    func facts() async throws -> HostFacts {
        try read { machine in
            HostFacts(
                hostname: machine.hostname, kernel: "6.1", operatingSystem: "Simulated", platform: .current,
                processors: 4, memory: 8 << 30, hasSwap: false, freeDisk: 1 << 40, addresses: [name], cgroups: "v2",
                hasSystemd: true, isContainer: false, capabilities: .max,
                programs: ["ip", "iptables", "mount", "systemctl"],
                listeningPorts: machine.services.values.contains(where: \.isActive) ? [5000, 5001, 6443] : [],
                clock: Date.now.timeIntervalSince1970, agentDigest: ContentDigest.sample, isKubernetesNode: false,
                occupied: ["/etc/cni/net.d", "/var/lib/etcd", "/var/lib/kubelet"].filter { folder in
                    machine.files.keys.contains { $0.hasPrefix("\(folder)/") }
                })
        }
    }

    func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {
        try change { $0.files[path.string] = .init(bytes: bytes, permissions: permissions) }
    }

    func readFile(_ path: FilePath, limit: Int) async throws -> Data? {
        try read { $0.files[path.string]?.bytes }
    }

    func inspect(_ paths: [FilePath]) async throws -> [String: FileState] {
        try read { machine in
            var found: [String: FileState] = [:]
            for path in paths {
                guard let file = machine.files[path.string] else { continue }
                found[path.string] = FileState(
                    digest: ContentHasher.digest(of: file.bytes), permissions: file.permissions)
            }
            return found
        }
    }

    func delete(_ path: FilePath) async throws {
        try change { machine in
            let folder = path.string + "/"
            machine.files = machine.files.filter { $0.key != path.string && !$0.key.hasPrefix(folder) }
            machine.programs = machine.programs.filter { !$0.hasPrefix(folder) }
            if path == "/var/lib/sealer/store" { (machine.blobs, machine.hasImage) = ([], false) }
        }
    }

    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        try read { machine in blobs.filter { !machine.blobs.contains($0.digest) } }
    }

    func send(_ blob: Descriptor, from file: FilePath, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try change { _ = $0.blobs.insert(blob.digest) }
    }

    func name(_ image: Descriptor, as reference: Reference) async throws { try change { $0.hasImage = true } }

    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try world.write(name) { state in
            // A master is told the address, a worker's balancer has it.
            let ways = String(
                decoding: state.machines[name]?.files["/etc/sealer/balancer.json"]?.bytes ?? Data(), as: UTF8.self)
            let serves = state.machines.contains { address, machine in
                request.address.map { $0 == address } ?? ways.contains("\"\(address):5000\"")
                    && machine.services["sealer-registry.service"]?.isActive == true
                    && request.blobs.allSatisfy { machine.blobs.contains($0.digest) }
            }
            if !serves { state.violations.append("\(name) fetches, and no registry has what it wants") }
            state.machines[name]?.blobs.formUnion(request.blobs.map(\.digest))
        }
    }

    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try world.write(name) { state in
            let folder = request.destination + "/"
            guard var machine = state.machines[name] else { return }
            if !machine.blobs.contains(request.manifest.digest) {
                state.violations.append("\(name) unpacks what it does not have")
            }
            machine.files = machine.files.filter { !$0.key.hasPrefix(folder) }
            for script in ["containerd.sh", "init-kube.sh", "clean-kube.sh", "uninstall-containerd.sh"] {
                machine.files["\(folder)scripts/\(script)"] = .init(bytes: Data(script.utf8), permissions: 0o755)
            }
            state.machines[name] = machine
        }
    }

    func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
        world.with { state in
            state.writes += 1
            return state.holder.map { .held(by: $0) } ?? .taken(from: nil)
        }
    }

    func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal { .renewed }
    func returnLease(_ id: String?) async throws {}
    func lease() async throws -> LeaseHolder? { nil }
    var isLost: Bool { false }
    func close() async {}

    // MARK: - Commands

    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        let program = command.arguments[0]
        let text = command.input.map { String(decoding: $0, as: UTF8.self) } ?? ""
        if program == "systemctl" { return try read { Self.result(Self.show($0, command.arguments)) } }
        if program.hasSuffix("/sealer"), command.arguments.dropFirst().first == "rmi" {
            try change { ($0.blobs, $0.hasImage) = ([], false) }
            return Self.result("")
        }
        if program == "test" {
            let folder = (command.arguments.last ?? "") + "/"
            let isThere = try read { machine in machine.files.keys.contains { $0.hasPrefix(folder) } }
            return CommandResult(status: isThere ? 0 : 1, output: Data(), error: Data())
        }
        if command.arguments.count == 2, program == "/bin/bash" {
            try script(command.arguments[1], command)
            return Self.result("")
        }
        if command.arguments.contains(where: { $0.contains("eval") }) {
            try change { $0.plugins.append(text) }
            return Self.result("")
        }
        return Self.result(try inline(text, command))
    }

    private static func result(_ text: String) -> CommandResult {
        CommandResult(status: 0, output: Data(text.utf8), error: Data())
    }

    private static func show(_ machine: SimulatedWorld.Machine, _ arguments: [String]) -> String {
        let names = arguments.drop { $0 != "--" }.dropFirst()
        return names.map { name in
            let state = machine.services[name] ?? ServiceState(isActive: false, isEnabled: false)
            return "Id=\(name)\nActiveState=\(state.isActive ? "active" : "inactive")\n"
                + "UnitFileState=\(state.isEnabled ? "enabled" : "")\n"
        }.joined(separator: "\n")
    }

    /// A script of the rootfs.
    private func script(_ path: String, _ command: RemoteCommand) throws {
        try world.write(name) { state in
            guard var machine = state.machines[name] else { return }
            let folder = command.workingDirectory ?? "/"
            if machine.files["\(folder)/\(path)"] == nil {
                state.violations.append("\(name) runs \(path), and has no rootfs")
            }
            switch path {
            case "scripts/containerd.sh", "scripts/init-kube.sh":
                for file in NodePreparation.installedFiles {
                    machine.files[file.string] = .init(bytes: Data("installed".utf8), permissions: 0o644)
                }
            case "scripts/uninstall-containerd.sh":
                for file in NodePreparation.installedFiles { machine.files[file.string] = nil }
            case "scripts/clean-kube.sh": machine.cleanKubernetes()
            default: break
            }
            state.machines[name] = machine
        }
    }

    /// A script of sealer's own.
    private func inline(_ text: String, _ command: RemoteCommand) throws -> String {
        let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
        if let position = words.firstIndex(of: "restart"), words.contains("enable"), position + 1 < words.count {
            try change { $0.services[words[position + 1]] = ServiceState(isActive: true, isEnabled: true) }
        } else if text.contains("rm -rf /etc/sealer/registry") {
            try world.write(name) { state in
                for (address, machine) in state.machines where address != name {
                    let ways = ["/etc/sealer/balancer.json", "/etc/hosts"].map {
                        String(decoding: machine.files[$0]?.bytes ?? Data(), as: UTF8.self)
                    }
                    if ways[0].contains("\"\(name):5000\"") || ways[1].contains("\(name)\tsea.hub") {
                        state.violations.append("the registry of \(name) ends, and \(address) is led to it")
                    }
                }
                state.machines[name]?.services["sealer-registry.service"] = nil
                for path in RegistryService.files { state.machines[name]?.files[path.string] = nil }
            }
        } else if text.contains("for unit in") {
            try change { machine in
                for unit in machine.services.keys { machine.files["/etc/systemd/system/\(unit)"] = nil }
                machine.services = [:]
            }
        } else if text.contains("[[ -e $folder ]] || printf") {
            return try read { $0.blobs.isEmpty ? "/var/lib/sealer/store\n" : "" }
        } else if let staged = command.environment["STAGED"], let file = command.environment["FILE"] {
            try change { machine in
                let size = command.environment["SIZE"].flatMap { Int($0) } ?? 0
                let bytes = machine.files.removeValue(forKey: staged)?.bytes.prefix(size) ?? Data()
                // The name of a simulated host is no file.
                if file != "/etc/hostname" { machine.files[file] = .init(bytes: Data(bytes), permissions: 0o644) }
            }
        } else if let hostname = command.environment["NODE_NAME"] {
            try change { $0.hostname = hostname }
        }
        return ""
    }
}
