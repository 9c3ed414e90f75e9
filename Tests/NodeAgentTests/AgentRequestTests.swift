import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent
@testable import Remote

@Suite struct AgentRequestTests {
    private static func descriptor(_ bytes: Data) -> Descriptor {
        Descriptor(mediaType: MediaType.layer, digest: .of(bytes), size: Int64(bytes.count))
    }

    @Test func tellsTheHostsFacts() async throws {
        let pair = try await AgentPair.start()
        let facts = try await pair.host.facts()
        #expect(!facts.hostname.isEmpty)
        #expect(facts.processors >= 1)
        #expect(facts.memory > 1 << 20)
        #expect(facts.freeDisk > 0)
        #expect(facts.programs.contains("mount"))
        #expect(facts.platform == .current)
        #expect(facts.clock > 1_700_000_000)
        #expect(facts.agentDigest.description == AgentPair.digest)
        #expect(facts.capabilities != 0)
        try await pair.stop()
    }

    @Test func writesAndReadsFiles() async throws {
        let scratch = try Scratch()
        let pair = try await AgentPair.start()
        let path = scratch.path.appending("a").appending("b").appending("file")
        // More than one window, so credit must flow.
        let content = Data((0..<9_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) })
        try await pair.host.writeFile(path, content, permissions: 0o600)
        var information = stat()
        #expect(stat(path.string, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)
        #expect(try await pair.host.readFile(path, limit: 10_000_000) == content)
        #expect(try await pair.host.readFile(scratch.path.appending("none"), limit: 10) == nil)
        let tooLarge = await #expect(throws: Failure.self) { try await pair.host.readFile(path, limit: 8_999_999) }
        #expect(tooLarge?.place == "demo-node-0:\(path)")
        try await pair.host.writeFile(path, Data(), permissions: 0o644)
        #expect(try await pair.host.readFile(path, limit: 0) == Data())
        try await pair.stop()
    }

    @Test func aFailedWriteLeavesTheOldFile() async throws {
        let scratch = try Scratch()
        let pair = try await AgentPair.start()
        let file = scratch.path.appending("file")
        try AtomicFile.write([1], to: file)
        let failure = await #expect(throws: Failure.self) {
            try await pair.host.writeFile(file.appending("below"), Data(count: 20 << 20), permissions: 0o644)
        }
        #expect(failure?.kind == .system)
        #expect(try Folder.names(in: scratch.path) == ["file"])
        #expect(try await pair.host.readFile(file, limit: 1) == Data([1]))
        try await pair.stop()
    }

    @Test func deletes() async throws {
        let scratch = try Scratch()
        let pair = try await AgentPair.start()
        try Folder.make(scratch.path.appending("tree").appending("deep"))
        try await pair.host.delete(scratch.path.appending("tree"))
        try await pair.host.delete(scratch.path.appending("tree"))
        #expect(try Folder.names(in: scratch.path).isEmpty)
        for path in ["/", "/etc", "/etc/..", "relative/path"] as [FilePath] {
            await #expect(throws: Failure.self) { try await pair.host.delete(path) }
        }
        try await pair.stop()
    }

    @Test func takesBlobs() async throws {
        let scratch = try Scratch()
        let fake = FakeServices()
        let pair = try await AgentPair.start(fake.services)
        let content = Data((0..<23_000_000).map { UInt8(truncatingIfNeeded: $0 &* 17) })
        let file = scratch.path.appending("blob")
        try AtomicFile.write(content, to: file)
        let blob = Self.descriptor(content)
        #expect(try await pair.host.missing([blob]) == [blob])
        let seen = Seen<Int64>()
        try await pair.host.send(blob, from: file, advanced: seen.add)
        #expect(fake.blob(blob.digest) == content)
        #expect(try await pair.host.missing([blob]) == [])
        #expect(seen.all.last == blob.size)
        #expect(seen.all == seen.all.sorted())
        // A blob that is there is not taken again.
        try await pair.host.send(blob, from: file) { _ in }
        #expect(fake.abandoned == 0)
        try await pair.stop()
    }

    @Test func severalBlobsAtOnce() async throws {
        let scratch = try Scratch()
        let fake = FakeServices()
        let pair = try await AgentPair.start(fake.services)
        var blobs: [(Descriptor, FilePath)] = []
        for number in 0..<6 {
            let content = Data(repeating: UInt8(number), count: 5_000_000 + number)
            let file = scratch.path.appending("blob\(number)")
            try AtomicFile.write(content, to: file)
            blobs.append((Self.descriptor(content), file))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (blob, file) in blobs { group.addTask { try await pair.host.send(blob, from: file) { _ in } } }
            try await group.waitForAll()
        }
        for (blob, _) in blobs { #expect(fake.blob(blob.digest)?.count == Int(blob.size)) }
        try await pair.stop()
    }

    @Test func refusesABlobThatIsNotWhatItShouldBe() async throws {
        let scratch = try Scratch()
        let fake = FakeServices()
        let pair = try await AgentPair.start(fake.services)
        let file = scratch.path.appending("blob")
        try AtomicFile.write(Data(count: 30_000_000), to: file)
        var blob = Self.descriptor(Data(count: 30_000_000))
        // The file is longer than announced: the agent says so long before all of it is sent.
        blob.size = 1000
        let failure = await #expect(throws: Failure.self) { try await pair.host.send(blob, from: file) { _ in } }
        #expect(failure?.kind == .integrity)
        #expect(failure?.place?.hasPrefix("demo-node-0") == true)
        #expect(fake.abandoned == 1)
        // The connection lives on.
        #expect(try await pair.host.missing([blob]) == [blob])
        try await pair.stop()
    }

    @Test func namesImagesAndPassesTheAgentsFailuresOn() async throws {
        let scratch = try Scratch()
        let fake = FakeServices()
        let pair = try await AgentPair.start(fake.services)
        let content = Data("{}".utf8)
        let image = Self.descriptor(content)
        let reference = try Reference("demo:v1")
        let failure = await #expect(throws: Failure.self) { try await pair.host.name(image, as: reference) }
        #expect(failure?.kind == .notFound)
        #expect(failure?.place == "demo-node-0:/store")
        #expect(failure?.remedy == "send it")
        try AtomicFile.write(content, to: scratch.path.appending("blob"))
        try await pair.host.send(image, from: scratch.path.appending("blob")) { _ in }
        try await pair.host.name(image, as: reference)
        #expect(fake.named("docker.io/library/demo:v1") == image)
        try await pair.stop()
    }

    @Test func manyDescriptorsFitIntoMessages() async throws {
        let pair = try await AgentPair.start()
        let blobs = (0..<2500).map { Self.descriptor(Data("\($0)".utf8)) }
        #expect(try await pair.host.missing(blobs) == blobs)
        try await pair.stop()
    }

    @Test func tellsProgress() async throws {
        let (fetched, unpacked) = (Seen<Int64>(), Seen<Int64>())
        let isFetching = Mutex(true)
        let fake = FakeServices(isHeard: { !(isFetching.withLock { $0 } ? fetched : unpacked).all.isEmpty })
        let pair = try await AgentPair.start(fake.services)
        let blob = Self.descriptor(Data([1]))
        let request = FetchRequest(registry: "http://x", authority: nil, repository: "r", blobs: [blob])
        try await pair.host.fetch(request, advanced: fetched.add)
        #expect(!fetched.all.isEmpty && fetched.all == fetched.all.sorted())
        isFetching.withLock { $0 = false }
        try await pair.host.unpack(UnpackRequest(manifest: blob, destination: "/x/y"), advanced: unpacked.add)
        #expect(!unpacked.all.isEmpty)
        try await pair.stop()
    }

    @Test func cancellingEndsAFetchThere() async throws {
        let fake = FakeServices(isEndless: true)
        let pair = try await AgentPair.start(fake.services)
        let request = FetchRequest(
            registry: "http://x", authority: nil, repository: "r", blobs: [Self.descriptor(Data([1]))])
        let task = Task { try await pair.host.fetch(request) { _ in } }
        try await withLimit(.seconds(120), waitingFor: "the fetch to begin") {
            while !fake.hasBegun { try await Task.sleep(for: .milliseconds(10)) }
        }
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        try await withLimit(.seconds(120), waitingFor: "the fetch to be cancelled") {
            while !fake.wasCancelled { try await Task.sleep(for: .milliseconds(10)) }
        }
        try await pair.stop()
    }

    @Test func takesItsPlaceByRenaming() async throws {
        let scratch = try Scratch()
        try AtomicFile.write([1, 2], to: scratch.path.appending("sealer.temporary"))
        let pair = try await AgentPair.start(folder: scratch.path)
        let target = scratch.path.appending("bin").appending("sealer")
        let reply = try await pair.host.ask(.settle(path: target.string), limit: .seconds(120), for: "it")
        #expect(reply == .done)
        #expect(try Folder.names(in: scratch.path) == ["bin"])
        #expect(try LinuxSystem.readFile(target) == Data([1, 2]))
        try await pair.stop()
    }
}
