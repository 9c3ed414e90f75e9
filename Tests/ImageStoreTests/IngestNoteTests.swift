import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ImageStore

@Suite("A note about unfinished work")
struct IngestNoteTests {
    private func text(_ note: IngestNote) throws -> String { String(decoding: try note.read(), as: UTF8.self) }

    @Test("says to the next one what was written last, and is the user's alone")
    func outlives() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await store.note("a.upload"))
        #expect(try text(first) == "")
        try first.write(Data("a long line about how far it is".utf8))
        try first.write(Data("a short one".utf8))
        #expect(try text(first) == "a short one")
        first.close(keeping: true)
        let path = store.root.appending("ingest/a.upload")
        var information = stat()
        #expect(stat(path.string, &information) == 0 && information.st_mode & 0o777 == 0o600)
        let second = try #require(try await store.note("a.upload"))
        #expect(try text(second) == "a short one")
        second.close(keeping: false)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    }

    @Test("is one's own as long as it is open, also within a process")
    func oneAtATime() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await store.note("a.upload"))
        try first.write(Data("mine".utf8))
        #expect(try await store.note("a.upload") == nil)
        #expect(try await store.note("b.upload") != nil)
        // Deleted by another one, a new file is a new note.
        try await store.deleteNote("a.upload")
        let second = try #require(try await store.note("a.upload"))
        try first.write(Data("still mine".utf8))
        #expect(try text(second) == "")
        first.close(keeping: true)
        second.close(keeping: true)
        #expect(throws: Failure.self) { try second.read() }
    }

    @Test("without a word leaves no file, and garbage collection takes the others")
    func garbage() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try #require(try await store.note("a.upload")).close(keeping: true)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
        let note = try #require(try await store.note("a.upload"))
        try note.write(Data("left behind".utf8))
        note.close(keeping: true)
        #expect(try await store.check().isClean)
        #expect(try await store.collectGarbage().unfinished == 1)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    }

    @Test("whose writer was killed is the new line or an old one, whatever is behind it")
    func halfWritten() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(Array("new\nend of an old line\n".utf8), to: store.root.appending("ingest/a.upload"))
        #expect(try text(try #require(try await store.note("a.upload"))) == "new")
        try AtomicFile.write(
            [UInt8](repeating: 7, count: IngestNote.sizeLimit + 1), to: store.root.appending("ingest/b.upload"))
        let huge = try #require(try await store.note("b.upload"))
        #expect(throws: Failure.self) { try huge.read() }
        #expect(throws: Failure.self) { try huge.write(Data("two\nlines".utf8)) }
        #expect(throws: Failure.self) { try huge.write(Data(count: IngestNote.sizeLimit + 1)) }
    }

    @Test("is never reached through a link")
    func links() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let victim = scratch.path.appending("victim")
        try AtomicFile.write(Array("mine".utf8), to: victim)
        #expect(symlink(victim.string, store.root.appending("ingest/a.upload").string) == 0)
        await #expect(throws: Failure.self) { try await store.note("a.upload") }
        #expect(try readFile(victim) == Data("mine".utf8))
    }
}
