import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport

/// The clients of others. `oras` is not among them: Debian 12 has no package of it.
enum ClientKind: String, CaseIterable, Sendable {
    case skopeo, podman, buildah, docker, containerd
}

/// A client of somebody else, with folders of its own.
protocol OtherClient: Sendable {
    /// Pulls an image by name, the whole of it where the client can do that.
    ///
    /// - Returns: what the client calls it then: the digest of the manifest or index, its configuration's, or both.
    func pull(_ name: String, from registry: Registry) async throws -> Set<String>

    /// Pushes what it pulled under one name under another.
    ///
    /// - Returns: the digest that the client says it pushed.
    func push(_ source: String, as target: String, to registry: Registry) async throws -> String
}

extension ClientKind {
    /// Runs `body` with such a client; what belongs to it is gone afterwards.
    func use(in place: Place, _ body: (any OtherClient) async throws -> Void) async throws {
        switch self {
        case .skopeo: try await body(Skopeo(place: place, skopeo: Place.program("skopeo")))
        case .podman: try await body(PodmanOrBuildah(place, Place.program("podman"), isPodman: true))
        case .buildah: try await body(PodmanOrBuildah(place, Place.program("buildah"), isPodman: false))
        case .docker: try await Docker.use(in: place, body)
        case .containerd: try await Containerd.use(in: place, body)
        }
    }
}

// MARK: - skopeo

/// Copies between a registry and a folder on disk, all of an index, and changes nothing.
struct Skopeo: OtherClient {
    let place: Place
    let skopeo: Program

    /// As `dir:`, which takes every kind of manifest as it is.
    private func folder(_ name: String) -> FilePath {
        place.folder.appending("skopeo-\(Digest.of(Data(name.utf8)).short)")
    }

    private func copy(_ arguments: [String]) async throws {
        try await skopeo.run(
            ["copy", "-q", "--all", "--preserve-digests"] + arguments, environment: place.environment,
            in: place.folder, limit: .seconds(120))
    }

    private func trust(_ registry: Registry, _ side: String) -> [String] {
        registry.isPlain ? ["--\(side)-tls-verify=false"] : ["--\(side)-cert-dir", place.authorities.string]
    }

    func pull(_ name: String, from registry: Registry) async throws -> Set<String> {
        try await copy(trust(registry, "src") + ["docker://\(name)", "dir:\(folder(name))"])
        return [Digest.of(try readFile(folder(name).appending("manifest.json"))).description]
    }

    func push(_ source: String, as target: String, to registry: Registry) async throws -> String {
        let file = place.folder.appending("digest-\(UInt32.random(in: 0...UInt32.max))")
        try await copy(
            trust(registry, "dest") + [
                "--digestfile", file.string, "dir:\(folder(source))", "docker://\(target)",
            ])
        return String(decoding: try readFile(file), as: UTF8.self)
    }
}

// MARK: - podman and buildah

/// Both unpack what they pull, and pack it again when they push, unless they know that the registry has the packed layer.
struct PodmanOrBuildah: OtherClient {
    private let place: Place
    private let program: Program
    private let isPodman: Bool
    private let configuration: FilePath

    init(_ place: Place, _ program: Program, isPodman: Bool) throws {
        (self.place, self.program, self.isPodman) = (place, program, isPodman)
        configuration = place.folder.appending("storage.conf")
        let storage = place.folder.appending("containers")
        let text = """
            [storage]
            driver = "vfs"
            graphroot = "\(storage.appending("root"))"
            runroot = "\(storage.appending("run"))"
            """
        try AtomicFile.write(Array(text.utf8), to: configuration)
    }

    private func run(_ arguments: [String]) async throws -> String {
        let own = isPodman ? ["--tmpdir", place.folder.appending("containers/podman").string] : []
        return try await program.run(
            own + arguments,
            environment: place.environment.merging(["CONTAINERS_STORAGE_CONF": configuration.string]) { $1 },
            in: place.folder, limit: .seconds(120))
    }

    private func trust(_ registry: Registry) -> [String] {
        registry.isPlain ? ["--tls-verify=false"] : ["--cert-dir", place.authorities.string]
    }

    func pull(_ name: String, from registry: Registry) async throws -> Set<String> {
        let id = try await run(["pull", "-q"] + trust(registry) + [name]).filter { !$0.isWhitespace }
        let format =
            isPodman
            ? ["image", "inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}", id]
            : ["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", id]
        let digests = try await run(format).split { $0.isWhitespace }.map { $0.split(separator: "@").last ?? $0 }
        return Set(digests.map(String.init) + ["sha256:\(id)"])
    }

    func push(_ source: String, as target: String, to registry: Registry) async throws -> String {
        let file = place.folder.appending("digest-\(UInt32.random(in: 0...UInt32.max))")
        _ = try await run(
            ["push", "-q"] + trust(registry) + ["--digestfile", file.string, source, "docker://\(target)"])
        return String(decoding: try readFile(file), as: UTF8.self)
    }
}

// MARK: - docker

/// The engine that the testbed started, or the machine's own. It trusts every registry of 127.0.0.0/8, with TLS or without.
struct Docker: OtherClient {
    private let place: Place
    private let docker: Program

    static func use(in place: Place, _ body: (any OtherClient) async throws -> Void) async throws {
        let client = Docker(place: place, docker: try Place.program("docker"))
        let before = try await client.names()
        func clean() async throws {
            let own = try await client.names().subtracting(before).filter { $0.contains("/\(client.owner)/") }
            if !own.isEmpty { _ = try await client.run(["rmi", "-f"] + own.sorted()) }
        }
        do {
            try await body(client)
        } catch {
            do { try await clean() } catch { print("images of a test are still in the Docker engine: \(error)") }
            throw error
        }
        try await clean()
    }

    /// A part of the names of all images of this test, so that it removes its own and no others.
    var owner: String { "m\(Digest.of(Data(place.folder.string.utf8)).short)" }

    private func run(_ arguments: [String]) async throws -> String {
        let own = "/run/sealer-testbed/docker.sock"  // Where scripts/start-docker.sh puts its own.
        var environment = place.environment
        if let host = ProcessInfo.processInfo.environment["DOCKER_HOST"] {
            environment["DOCKER_HOST"] = host
        } else if access(own, F_OK) == 0 {
            environment["DOCKER_HOST"] = "unix://\(own)"
        }
        return try await docker.run(
            ["--config", place.logins.removingLastComponent().string] + arguments, environment: environment,
            in: place.folder, limit: .seconds(120))
    }

    private func names() async throws -> Set<String> {
        Set(try await run(["images", "--format", "{{.Repository}}:{{.Tag}}"]).split(separator: "\n").map(String.init))
    }

    func pull(_ name: String, from registry: Registry) async throws -> Set<String> {
        _ = try await run(["pull", "-q", name])
        let text = try await run(["image", "inspect", "-f", "{{.Id}} {{range .RepoDigests}}{{.}} {{end}}", name])
        return Set(text.split { $0.isWhitespace }.map { String($0.split(separator: "@").last ?? $0) })
    }

    func push(_ source: String, as target: String, to registry: Registry) async throws -> String {
        _ = try await run(["tag", source, target])
        let text = try await run(["push", target])
        guard let match = text.firstMatch(of: #/digest: (sha256:[0-9a-f]{64})/#) else {
            throw Failure(.integrity, "docker push names no digest: \(text)")
        }
        return String(match.1)
    }
}

// MARK: - containerd

/// A containerd that this test started, without CRI, and `ctr`. It keeps blobs as they came.
struct Containerd: OtherClient {
    private let place: Place
    private let ctr: Program
    private let address: String

    static func use(in place: Place, _ body: (any OtherClient) async throws -> Void) async throws {
        let folder = place.folder.appending("containerd")
        try Folder.make(folder)
        let address = folder.appending("sock").string
        let config = place.folder.appending("containerd.toml")
        let text = """
            version = 2
            root = "\(folder.appending("root"))"
            state = "\(folder.appending("state"))"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
            address = "\(address)"
            [ttrpc]
            address = "\(folder.appending("ttrpc"))"
            """
        try AtomicFile.write(Array(text.utf8), to: config)
        let client = Containerd(place: place, ctr: try Place.program("ctr"), address: address)
        try await Place.program("containerd").whileRunning(
            ["--config", config.string], environment: place.environment, in: place.folder
        ) { log in
            let end = ContinuousClock.now + .seconds(60)
            while access(address, F_OK) != 0 {
                guard ContinuousClock.now < end else {
                    throw Failure(
                        .timeout, "containerd did not start: \(String(decoding: try readFile(log), as: UTF8.self))")
                }
                try await Task.sleep(for: .milliseconds(20))
            }
            try await body(client)
        }
    }

    private func images(_ arguments: [String]) async throws -> String {
        try await ctr.run(
            ["--address", address, "--connect-timeout", "60s", "images"] + arguments, environment: place.environment,
            in: place.folder, limit: .seconds(120))
    }

    /// On this machine itself `ctr` speaks http, unless a file says otherwise.
    private func trust(_ registry: Registry) throws -> [String] {
        if registry.isPlain { return ["--plain-http"] }
        let hosts = place.folder.appending("hosts")
        let text = """
            server = "https://\(registry.host)"
            [host."https://\(registry.host)"]
            capabilities = ["pull", "resolve", "push"]
            ca = "\(place.authorities.appending("ca.crt"))"
            """
        try Folder.make(hosts.appending(registry.host))
        try AtomicFile.write(Array(text.utf8), to: hosts.appending(registry.host).appending("hosts.toml"))
        return ["--hosts-dir", hosts.string, "--user", "\(Place.user):\(Place.password)"]
    }

    private func digest(of name: String) async throws -> String {
        let lines = try await images(["ls"]).split(separator: "\n")
        let words = lines.map { $0.split { $0.isWhitespace } }.first { $0.first == name[...] } ?? []
        guard words.count > 2 else { throw Failure(.notFound, "containerd has no image \(name)") }
        return String(words[2])
    }

    func pull(_ name: String, from registry: Registry) async throws -> Set<String> {
        _ = try await images(["pull", "--all-platforms", "--snapshotter", "native"] + (try trust(registry)) + [name])
        return [try await digest(of: name)]
    }

    func push(_ source: String, as target: String, to registry: Registry) async throws -> String {
        _ = try await images(["tag", source, target])
        _ = try await images(["push"] + (try trust(registry)) + [target])
        return try await digest(of: target)
    }
}
