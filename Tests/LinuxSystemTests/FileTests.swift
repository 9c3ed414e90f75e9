import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@Suite struct AtomicFileTests {
    @Test func contentAndPermissionsAreWrittenWhateverTheUmask() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("f")
        try AtomicFile.write(Array("one".utf8), to: path, permissions: [.ownerReadWrite])
        #expect(try shell("stat -c %a '\(path)'; cat '\(path)'").output == "600\none")
        // More than the usual umask leaves.
        try AtomicFile.write(Array("two".utf8), to: path, permissions: FilePermissions(rawValue: 0o666))
        #expect(try shell("stat -c %a '\(path)'; cat '\(path)'").output == "666\ntwo")
        #expect(try Folder.names(in: scratch.path) == ["f"])
    }

    @Test(.enabled(if: getuid() == 0, "mounting needs root"))
    func aFullDiskLeavesTheOldContent() throws {
        let scratch = try Scratch()
        #expect(try shell("mount -t tmpfs -o size=256k none '\(scratch.path)'").status == 0)
        defer { umount(scratch.path.string) }
        let path = scratch.path.appending("f")
        try AtomicFile.write(Array("old".utf8), to: path)
        let failure = #expect(throws: Failure.self) {
            try AtomicFile.write([UInt8](repeating: 1, count: 1 << 20), to: path)
        }
        #expect(failure?.kind == .system)
        #expect(failure?.place == path.string)
        #expect(try shell("cat '\(path)'").output == "old")
        #expect(try Folder.names(in: scratch.path) == ["f"])
    }

    @Test(.enabled(if: getuid() == 0, "mounting needs root"))
    func anUnwritableFolderLeavesTheOldContent() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("f")
        #expect(
            try shell(
                "mount -t tmpfs none '\(scratch.path)' && printf old > '\(path)' && mount -o remount,ro '\(scratch.path)'"
            ).status == 0)
        defer { umount(scratch.path.string) }
        #expect(throws: Failure.self) { try AtomicFile.write(Array("new".utf8), to: path) }
        #expect(try shell("cat '\(path)'").output == "old")
    }

    @Test func aFolderInTheWayIsNotReplaced() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("f")
        try Folder.make(path)
        #expect(throws: Failure.self) { try AtomicFile.write([1], to: path) }
        #expect(try Folder.names(in: scratch.path) == ["f"])
        #expect(throws: Failure.self) { try AtomicFile.write([1], to: scratch.path.appending("not/there")) }
    }

    @Test func aLinkIsReplacedAndItsTargetLeftAlone() throws {
        let scratch = try Scratch()
        #expect(try shell("cd '\(scratch.path)' && printf precious > target && ln -s target link").status == 0)
        try AtomicFile.write(Array("new".utf8), to: scratch.path.appending("link"))
        #expect(try shell("cd '\(scratch.path)' && cat target link && test ! -L link").output == "preciousnew")
    }
}

@Suite struct FileLockTests {
    @Test func anotherProcessIsKeptOutAndLetIn() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("lock")
        let lock = try FileLock(path, .exclusive, limit: .seconds(60), guarding: "the test")
        #expect(try shell("flock -n '\(path)' true").status == 1)
        #expect(try shell("flock -n -s '\(path)' true").status == 1)
        lock.release()
        lock.release()
        #expect(try shell("flock -n '\(path)' true").status == 0)
    }

    @Test func anotherProcessKeepsUsOut() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("lock")
        // Holds the lock until its input ends.
        let holder = try #require(popen("flock '\(path)' sh -c 'touch \(path).held; cat > /dev/null'", "w"))
        var waited = 0
        while access("\(path).held", F_OK) != 0, waited < 1000 {
            usleep(10_000)
            waited += 1
        }
        let failure = #expect(throws: Failure.self) {
            try FileLock(path, .exclusive, limit: .milliseconds(100), guarding: "the store")
        }
        #expect(failure?.kind == .conflict)
        #expect(failure?.what.contains("the store") == true)
        #expect(failure?.place == path.string)
        #expect(throws: Failure.self) { try FileLock(path, .shared, limit: .zero, guarding: "the store") }
        pclose(holder)
        try FileLock(path, .exclusive, limit: .seconds(60), guarding: "the store").release()
    }

    @Test func sharedLocksStandBesideEachOther() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("lock")
        let one = try FileLock(path, .shared, limit: .seconds(60), guarding: "the test")
        let two = try FileLock(path, .shared, limit: .seconds(60), guarding: "the test")
        #expect(try shell("flock -n -s '\(path)' true").status == 0)
        #expect(try shell("flock -n '\(path)' true").status == 1)
        one.release()
        #expect(try shell("flock -n '\(path)' true").status == 1)
        two.release()
        #expect(try shell("flock -n '\(path)' true").status == 0)
    }

    @Test func aLockEndsWithItsObject() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("lock")
        do { _ = try FileLock(path, .exclusive, limit: .seconds(60), guarding: "the test") }
        #expect(try shell("flock -n '\(path)' true").status == 0)
    }

    @Test func aLockFileThatCannotBeMadeIsNamed() {
        let failure = #expect(throws: Failure.self) {
            try FileLock("/nowhere/at/all/lock", .shared, limit: .zero, guarding: "the test")
        }
        #expect(failure?.kind == .system)
        #expect(failure?.place == "/nowhere/at/all/lock")
    }
}

@Suite struct FolderTests {
    @Test func deletingNeverFollowsLinks() throws {
        let scratch = try Scratch()
        let setUp = """
            cd '\(scratch.path)' && mkdir -p precious/inner doomed/deep/er && echo 1 > precious/file && echo 2 > doomed/deep/file
            ln -s ../precious doomed/link && ln -s '\(scratch.path)/precious' doomed/deep/absolute && ln -s nowhere doomed/broken
            touch "doomed/$(printf 'no\\377text')" && ln -s precious link && mkfifo doomed/pipe && chmod 000 doomed/deep/file
            """
        #expect(try shell(setUp).status == 0)
        try Folder.delete(scratch.path.appending("doomed"))
        try Folder.delete(scratch.path.appending("link"))
        try Folder.delete(scratch.path.appending("not there"))
        #expect(
            try shell("cd '\(scratch.path)' && find . -mindepth 1 | sort").output
                == "./precious\n./precious/file\n./precious/inner\n")
    }

    @Test(.enabled(if: getuid() == 0, "mounting needs root"))
    func whatCannotBeDeletedIsNamed() throws {
        let scratch = try Scratch()
        let mountPoint = scratch.path.appending("a/mounted")
        try Folder.make(mountPoint)
        #expect(try shell("mount -t tmpfs none '\(mountPoint)'").status == 0)
        defer { umount(mountPoint.string) }
        let failure = #expect(throws: Failure.self) { try Folder.delete(scratch.path.appending("a")) }
        #expect(failure?.kind == .system)
        #expect(failure?.place == mountPoint.string)
    }

    @Test func foldersAreMadeWithTheirParents() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("a/b/c")
        try Folder.make(path)
        try Folder.make(path)
        #expect(Folder.exists(path))
        #expect(try shell("touch '\(scratch.path)/file'").status == 0)
        #expect(!Folder.exists(scratch.path.appending("file")))
        for inTheWay in ["file", "file/below"] {
            let failure = #expect(throws: Failure.self) { try Folder.make(scratch.path.appending(inTheWay)) }
            #expect(failure?.kind == .system)
        }
    }

    @Test func namesAreSortedByTheirBytes() throws {
        let scratch = try Scratch()
        #expect(try shell("cd '\(scratch.path)' && touch b a B é .hidden z && mkdir folder").status == 0)
        #expect(try Folder.names(in: scratch.path) == [".hidden", "B", "a", "b", "folder", "z", "é"])
        let failure = #expect(throws: Failure.self) { try Folder.names(in: "/nowhere/at/all") }
        #expect(failure?.kind == .notFound)
    }
}

@Suite struct ReadFileTests {
    @Test func wholeFilesAreReadUpToTheLimit() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("f")
        try AtomicFile.write([UInt8](repeating: 7, count: 200_000), to: path)
        #expect(try readFile(path, limit: 200_000).count == 200_000)
        let failure = #expect(throws: Failure.self) { try readFile(path, limit: 199_999) }
        #expect(failure?.kind == .invalidInput)
        // A file without an end.
        #expect(throws: Failure.self) { try readFile("/dev/zero", limit: 1 << 20) }
    }

    @Test func whatIsNotAFileIsNamed() throws {
        #expect(#expect(throws: Failure.self) { try readFile("/nowhere/at/all") }?.kind == .notFound)
        let failure = #expect(throws: Failure.self) { try readFile("/tmp") }
        #expect(failure?.kind == .system)
        #expect(failure?.place == "/tmp")
    }
}

@Suite struct ProcessFolderTests {
    @Test func whatADeadProcessLeftIsDeletedAndNothingElse() throws {
        let scratch = try Scratch()
        let parent = scratch.path
        // A process that was and is no more.
        let dead = try #require(pid_t(try shell("echo $$").output.filter(\.isNumber)))
        let own = try ProcessFolder.make(in: parent, prefix: "work-")
        let names = ["work-\(dead)-1", "work-1-2", "work-x-3", "work-", "other-\(dead)-4", "work--5-6"]
        for name in names { try Folder.make(parent.appending(name).appending("inner")) }
        try ProcessFolder.deleteLeft(in: parent, prefix: "work-")
        let left = try Folder.names(in: parent)
        #expect(left == (names.dropFirst() + [own.lastComponent?.string ?? ""]).sorted())
        try ProcessFolder.deleteLeft(in: parent.appending("absent"))
    }
}
