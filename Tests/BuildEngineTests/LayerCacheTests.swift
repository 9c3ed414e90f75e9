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

@testable import BuildEngine

@Suite("The cache of layers")
struct LayerCacheTests {
    private struct NoUpstream: ImageSource {
        func pull(_ reference: Reference, platform: Platform) async throws -> PulledImageRecord {
            throw Failure(.notFound, "there is no such image", at: reference.description)
        }
        func pullClusterImage(_ reference: Reference) async throws -> Descriptor {
            throw Failure(.notFound, "there is no such image", at: reference.description)
        }
    }

    /// Counts the layers that were not made anew.
    private final class Unchanged: ProgressSink {
        private let state = Mutex(0)
        var count: Int { state.withLock { $0 } }
        func send(_ event: ProgressEvent) {
            if case .note(_, let text) = event, text.hasPrefix("unchanged") { state.withLock { $0 += 1 } }
        }
    }

    /// A context of one file, old enough to be trusted.
    private struct Bench {
        let context: FilePath
        let store: ImageStore
        let records: FilePath

        init(_ scratch: FilePath) async throws {
            context = scratch.appending("context")
            records = scratch.appending("cache")
            try Folder.make(context.appending("files"))
            try AtomicFile.write(
                Array("FROM scratch\nCOPY files etc\n".utf8), to: context.appending("Kubefile"))
            try AtomicFile.write(Array("one".utf8), to: context.appending("files/a"))
            store = try await ImageStore.open(scratch.appending("store"))
        }

        func settle() async throws { try await Task.sleep(for: .milliseconds(200)) }

        func build(_ cache: Bool = true, settled: Duration = .milliseconds(100)) async throws -> (
            layer: Descriptor, unchanged: Int
        ) {
            let progress = Unchanged()
            let builder = LiteBuilder(store: store, source: NoUpstream(), progress: progress)
            let name = try Reference("example.org/a:1")
            _ = try await builder.build(
                BuildRequest(
                    kubefile: context.appending("Kubefile"), context: context, name: name,
                    cache: cache ? LayerCache(records, settled: settled) : nil)
            )
            let layers = try await store.clusterImage(name).manifest.layers
            return (try #require(layers.first), progress.count)
        }
    }

    @Test("a build of what did not change makes no layer, and gives the same")
    func unchanged() async throws {
        let scratch = try Scratch()
        let bench = try await Bench(scratch.path)
        try await bench.settle()
        let first = try await bench.build()
        let second = try await bench.build()
        #expect((first.unchanged, second.unchanged) == (0, 1))
        #expect(first.layer == second.layer)
        #expect(try await bench.build(false).unchanged == 0)
    }

    @Test("another content of the same size and time is another layer")
    func changedContent() async throws {
        let scratch = try Scratch()
        let bench = try await Bench(scratch.path)
        try await bench.settle()
        let first = try await bench.build()
        let path = bench.context.appending("files/a")
        var information = stat()
        #expect(stat(path.string, &information) == 0)
        // In place, so that it stays the same file; then the time is set back.
        let file = try FileDescriptor.open(path, .writeOnly)
        _ = try file.closeAfter { try file.writeAll(Array("two".utf8)) }
        var times = [information.st_atim, information.st_mtim]
        #expect(utimensat(AT_FDCWD, path.string, &times, 0) == 0)
        let second = try await bench.build()
        #expect(second.unchanged == 0)
        #expect(second.layer.digest != first.layer.digest)
    }

    @Test("other permissions are another layer")
    func changedPermissions() async throws {
        let scratch = try Scratch()
        let bench = try await Bench(scratch.path)
        try await bench.settle()
        let first = try await bench.build()
        #expect(chmod(bench.context.appending("files/a").string, 0o600) == 0)
        let second = try await bench.build()
        #expect(second.unchanged == 0)
        #expect(second.layer.digest != first.layer.digest)
    }

    @Test("files that were changed just now are not remembered")
    func tooYoung() async throws {
        let scratch = try Scratch()
        let bench = try await Bench(scratch.path)
        _ = try await bench.build(settled: .seconds(3600))
        #expect(try await bench.build(settled: .seconds(3600)).unchanged == 0)
    }

    @Test("a layer that is gone, or a record that is none, is made again")
    func lost() async throws {
        let scratch = try Scratch()
        let bench = try await Bench(scratch.path)
        try await bench.settle()
        let first = try await bench.build()
        try Folder.delete(bench.store.path(of: first.layer.digest))
        let second = try await bench.build()
        #expect(second.unchanged == 0)
        #expect(second.layer == first.layer)
        for name in try Folder.names(in: bench.records) {
            try AtomicFile.write(Array("{".utf8), to: bench.records.appending(name))
        }
        #expect(try await bench.build().unchanged == 0)
        try Folder.delete(bench.store.path(of: first.layer.digest))
        try await LayerCache(bench.records).forgetMissing(in: bench.store)
        #expect(try Folder.names(in: bench.records).isEmpty)
    }
}
