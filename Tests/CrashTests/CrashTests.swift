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

/// The executable is killed at seeded instants of each command that changes a store. Whenever that is, the store has no fault
/// afterwards, and the same command, given again, does what it should have done.
@Suite(
    "Killed at any moment", .serialized,
    .enabled(if: CrashBench.executable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct CrashTests {
    /// How often each command is killed; `SEALER_CRASH_SEEDS` is the number for all of them together.
    private static var seedsEach: Int {
        let all = ProcessInfo.processInfo.environment["SEALER_CRASH_SEEDS"].flatMap { Int($0) } ?? 200
        return max(1, (all + CrashBench.Command.allCases.count - 1) / CrashBench.Command.allCases.count)
    }

    @Test("a store stays whole, and the command succeeds the next time", arguments: CrashBench.Command.allCases)
    func killed(command: CrashBench.Command) async throws {
        let bench = try await CrashBench()
        // How long it takes when nobody kills it; the second time, when its files are in memory.
        var whole = Duration.zero
        for round in 0..<2 {
            let folder = try await bench.prepare(command, "whole-\(round)")
            whole = try await ContinuousClock().measure { try await bench.run(command, in: folder) }
            try await bench.verify(command, in: folder)
        }
        var killed = 0
        for seed in 0..<Self.seedsEach {
            var random = SeededGenerator(seed: UInt64(seed))
            let life = whole * Double.random(in: 0...1, using: &random)
            let folder = try await bench.prepare(command, "seed-\(seed)")
            let wasKilled = try await bench.run(command, in: folder, killedAfter: life) == nil
            if wasKilled { killed += 1 }
            // The machine is now more, now less busy than when the whole was measured: stay near what it takes now.
            whole = whole * (wasKilled ? 1.05 : 0.9)
            try await bench.check(in: folder, "\(command), seed \(seed), killed after \(life.inWords)")
            try await bench.run(command, in: folder)
            try await bench.verify(command, in: folder)
            try Folder.delete(folder)
        }
        // Otherwise the test would test nothing.
        #expect(killed > Self.seedsEach / 4, "only \(killed) of \(Self.seedsEach) were killed before their end")
        await bench.stop()
    }
}

/// An image in its build context, in an archive and in a registry, and folders to try commands in.
struct CrashBench {
    enum Command: String, CaseIterable, Sendable {
        case build, save, load, push, pull, prune
    }

    static var executable: String? { ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"] }

    private let scratch: FilePath
    private let program: Program
    private let registry: RunningRegistry
    private let registryStore: ImageStore
    private let digest: Digest

    private var context: FilePath { scratch.appending("context") }
    private var source: FilePath { scratch.appending("source") }
    private var archive: FilePath { scratch.appending("image.tar") }
    private var host: String { "127.0.0.1:\(registry.port)" }
    private static let name = "example.org/shop:1"

    init() async throws {
        program = Program(path: try #require(Self.executable))
        scratch = FilePath("/tmp").appending("sealer-crash-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
        try Folder.make(scratch)
        var configuration = RegistryServerConfiguration()
        configuration.isWritable = true
        configuration.access.allowsAnonymousPush = true
        registryStore = try await ImageStore.open(scratch.appending("registry"))
        registry = try await RegistryServer.start(
            configuration, content: WritableStoreContent(store: registryStore))
        try AtomicFile.write(
            Array("[[registry]]\nlocation = \"127.0.0.1:\(registry.port)\"\ninsecure = true\n".utf8),
            to: scratch.appending("registries.conf"))
        var kubefile = "FROM scratch\n"
        var random = SeededGenerator(seed: 7)
        for layer in 0..<3 {
            let folder = scratch.appending("context").appending("layer\(layer)")
            try Folder.make(folder)
            var bytes = [UInt8](repeating: 0, count: 3_000_000)
            for index in bytes.indices { bytes[index] = UInt8.random(in: 0...255, using: &random) }
            try AtomicFile.write(bytes, to: folder.appending("data"))
            kubefile += "COPY layer\(layer) layer\(layer)\n"
        }
        try AtomicFile.write(Array(kubefile.utf8), to: scratch.appending("context").appending("Kubefile"))
        let source = scratch.appending("source")
        digest = try await Self.prepareSource(program, scratch, source, port: registry.port)
    }

    private static func prepareSource(_ program: Program, _ scratch: FilePath, _ source: FilePath, port: Int)
        async throws -> Digest
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
        return try #require(try await store.resolve(Reference(name))).digest
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
