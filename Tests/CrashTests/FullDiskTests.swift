import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

/// The store lies on a file system that is too small, and grows later.
@Suite(
    "A full disk", .serialized,
    .enabled(
        if: CrashBench.executable != nil && getuid() == 0,
        "needs SEALER_TEST_EXECUTABLE, which make test sets, and root for a small file system"))
struct FullDiskTests {
    @Test(
        "is told as such, leaves a store without a fault, and the command succeeds when there is room",
        arguments: [CrashBench.Command.build, .load, .pull])
    func full(command: CrashBench.Command) async throws {
        let bench = try await CrashBench()
        let folder = try await bench.prepare(command, "full")
        try #require(mount("tmpfs", folder.string, "tmpfs", 0, "size=4m") == 0, "cannot mount a tmpfs")
        defer { umount2(folder.string, 2) }
        let failure = await #expect(throws: Failure.self) { try await bench.run(command, in: folder) }
        #expect(failure?.what.contains("free some space") == true, "\(failure?.what ?? "")")
        try await bench.check(in: folder, "\(command) on a full disk")
        try #require(mount("tmpfs", folder.string, "tmpfs", 32, "size=128m") == 0, "cannot make the tmpfs larger")
        try await bench.run(command, in: folder)
        try await bench.verify(command, in: folder)
        umount2(folder.string, 2)
        await bench.stop()
    }
}

/// Several sealer processes work with one store at the same time.
@Suite(
    "One store, several processes", .serialized,
    .enabled(if: CrashBench.executable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct SharedStoreTests {
    @Test("all of them succeed, and garbage collection takes nothing that one of them needs")
    func together() async throws {
        let bench = try await CrashBench()
        let folder = try await bench.prepare(.prune, "shared")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for command in [CrashBench.Command.pull, .pull, .build, .load] {
                group.addTask { try await bench.run(command, in: folder) }
            }
            // While others work with the store it is refused; that is no failure of theirs.
            group.addTask {
                do {
                    try await bench.run(.prune, in: folder)
                } catch let failure as Failure where failure.what.contains("another sealer process") {
                    return
                }
            }
            try await group.waitForAll()
        }
        for command in [CrashBench.Command.pull, .build, .load, .prune] {
            if command == .prune { try await bench.run(.prune, in: folder) }
            try await bench.verify(command, in: folder)
        }
        await bench.stop()
    }
}
