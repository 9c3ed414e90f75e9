import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import RegistryServer
import Report
import SystemPackage
import TestSupport
import Testing

/// An image in its build context, in an archive and in a registry, and folders to try commands in.
struct CrashBench {
    enum Command: String, CaseIterable, Sendable {
        case build, save, load, push, pull, prune

        /// Whether it sends or fetches blobs.
        var isTransfer: Bool { self == .push || self == .pull }
    }

    static var executable: String? { ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"] }

    private let scratch: FilePath
    private let program: Program
    private let registry: RunningRegistry
    private let registryStore: ImageStore
    private let counter: BlobCounter
    private let digest: Digest
    /// All blobs of the image, without its manifests.
    let blobs: [Descriptor]

    private var context: FilePath { scratch.appending("context") }
    private var source: FilePath { scratch.appending("source") }
    private var archive: FilePath { scratch.appending("image.tar") }
    private var host: String { "127.0.0.1:\(registry.port)" }
    private static let name = "example.org/shop:1"

    /// - Parameter sizes: of the files of the image's layers, which nothing makes smaller.
    init(layers sizes: [Int] = [3_000_000, 3_000_000, 3_000_000]) async throws {
        program = Program(path: try #require(Self.executable))
        scratch = FilePath("/tmp").appending("sealer-crash-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
        try Folder.make(scratch)
        var configuration = RegistryServerConfiguration()
        configuration.isWritable = true
        configuration.access.allowsAnonymousPush = true
        registryStore = try await ImageStore.open(scratch.appending("registry"))
        let counter = BlobCounter()
        registry = try await RegistryServer.start(
            configuration, content: WritableStoreContent(store: registryStore), log: { counter.add($0) })
        self.counter = counter
        try AtomicFile.write(
            Array("[[registry]]\nlocation = \"127.0.0.1:\(registry.port)\"\ninsecure = true\n".utf8),
            to: scratch.appending("registries.conf"))
        var kubefile = "FROM scratch\n"
        var random = SeededGenerator(seed: 7)
        for (layer, size) in sizes.enumerated() {
            let folder = scratch.appending("context").appending("layer\(layer)")
            try Folder.make(folder)
            var bytes: [UInt8] = []
            bytes.reserveCapacity(size + 8)
            while bytes.count < size { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
            try AtomicFile.write(bytes, to: folder.appending("data"))
            kubefile += "COPY layer\(layer) layer\(layer)\n"
        }
        try AtomicFile.write(Array(kubefile.utf8), to: scratch.appending("context").appending("Kubefile"))
        let source = scratch.appending("source")
        let image = try await Self.prepareSource(program, scratch, source, port: registry.port)
        digest = image.digest
        blobs = try await ImageStore.open(source.appending("store")).closure(of: image).filter {
            !MediaType.isIndex($0.mediaType) && !MediaType.isManifest($0.mediaType)
        }
    }

    private static func prepareSource(_ program: Program, _ scratch: FilePath, _ source: FilePath, port: Int)
        async throws -> Descriptor
    {
        let environment = environment(scratch, root: source)
        for arguments in [
            ["build", "--tag", name, scratch.appending("context").string],
            ["save", "--output", scratch.appending("image.tar").string, name],
            ["push", name, "127.0.0.1:\(port)/upstream/shop:1"],
        ] {
            try await program.run(arguments, environment: environment, in: scratch)
        }
        let store = try await ImageStore.open(source.appending("store"))
        return try #require(try await store.resolve(Reference(name)))
    }

    private static func environment(_ scratch: FilePath, root: FilePath) -> [String: String] {
        [
            "SEALER_ROOT": root.string,
            "CONTAINERS_REGISTRIES_CONF": scratch.appending("registries.conf").string,
        ]
    }

    func stop() async {
        await registry.stop(limit: .seconds(5))
        do { try Folder.delete(scratch) } catch { Issue.record(error) }
    }

    /// Makes a folder with what the command needs.
    func prepare(_ command: Command, _ label: String) async throws -> FilePath {
        let folder = scratch.appending("\(command.rawValue)-\(label)")
        try Folder.make(folder)
        switch command {
        case .build, .load, .pull, .push, .save: break
        case .prune:
            // An image, and blobs that no name leads to.
            let environment = Self.environment(scratch, root: folder)
            try await program.run(["load", archive.string], environment: environment, in: folder)
            let store = try await ImageStore.open(folder.appending("store"))
            for number in 0..<40 {
                try await store.put(Data(repeating: UInt8(number), count: 100_000), mediaType: "x/y")
            }
        }
        return folder
    }

    private func arguments(_ command: Command, _ folder: FilePath) -> (words: [String], root: FilePath) {
        switch command {
        case .build: (["build", "--tag", Self.name, context.string], folder)
        case .load: (["load", archive.string], folder)
        case .pull: (["pull", "\(host)/upstream/shop:1"], folder)
        case .prune: (["prune"], folder)
        // These two leave their own store alone: what they change is elsewhere.
        case .save: (["save", "--output", folder.appending("saved.tar").string, Self.name], source)
        case .push:
            (["push", Self.name, "\(host)/\(folder.lastComponent?.string.lowercased() ?? "x")/shop:1"], source)
        }
    }

    func run(_ command: Command, in folder: FilePath) async throws {
        let (words, root) = arguments(command, folder)
        try await program.run(words, environment: Self.environment(scratch, root: root), in: folder)
    }

    func run(_ command: Command, in folder: FilePath, killedAfter life: Duration) async throws -> Int32? {
        let (words, root) = arguments(command, folder)
        return try await program.run(
            words, environment: Self.environment(scratch, root: root), in: folder, killedAfter: life)
    }

    /// What the registry has sent and got of blobs so far, when all connections of earlier commands have ended.
    func traffic() async throws -> BlobTraffic {
        let curl = try #require(Program("curl"), "curl is not installed; scripts/install-packages.sh installs it")
        let end = ContinuousClock.now + .seconds(60)
        while true {
            let text = try await curl.run(
                ["-sSf", "--noproxy", "*", "http://\(host)/metrics"], in: scratch)
            // The one that asks.
            if text.contains("sealer_registry_open_connections 1\n") { return counter.sum }
            guard ContinuousClock.now < end else {
                throw Failure(.timeout, "the registry still has connections of a command that has ended")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// No store has a fault.
    func check(in folder: FilePath, _ what: String) async throws {
        for root in [folder, source] where Folder.exists(root.appending("store")) {
            let damages = try await ImageStore.open(root.appending("store")).check().damages
            #expect(damages.isEmpty, "\(what): \(damages)")
        }
        #expect(try await registryStore.check().damages.isEmpty, "\(what): the registry")
    }

    /// The command did what it is for.
    func verify(_ command: Command, in folder: FilePath) async throws {
        try await check(in: folder, "\(command), after its end")
        switch command {
        case .build, .load: try await expectImage(Self.name, in: folder.appending("store"))
        case .pull: try await expectImage("\(host)/upstream/shop:1", in: folder.appending("store"))
        case .prune:
            try await expectImage(Self.name, in: folder.appending("store"))
            let left = try await ImageStore.open(folder.appending("store")).collectGarbage(dryRun: true)
            #expect(left.blobs == 0 && left.unfinished == 0)
        case .save:
            #expect(try readFile(folder.appending("saved.tar")) == readFile(archive))
        case .push:
            let repository = "docker.io/\(folder.lastComponent?.string.lowercased() ?? "x")/shop:1"
            #expect(try await registryStore.resolve(Reference(repository))?.digest == digest)
        }
    }

    private func expectImage(_ name: String, in root: FilePath) async throws {
        let store = try await ImageStore.open(root)
        #expect(try await store.resolve(Reference(name))?.digest == digest)
    }
}
