import FoundationEssentials
import Glibc
import LinuxSystem
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent

@Suite struct OccupancyTests {
    private func write(_ text: String, to path: FilePath) throws {
        try Folder.make(path.removingLastComponent())
        try AtomicFile.write(Data(text.utf8), to: path, permissions: .ownerReadWrite)
    }

    @Test func findsFoldersWithSomethingInThem() throws {
        let scratch = try Scratch()
        let folders = ["absent", "empty", "mount", "kept", "file", "full", "both"].map { scratch.path.appending($0) }
        try Folder.make(folders[1])
        try Folder.make(folders[2].appending("lost+found"))
        try write("", to: folders[3].appending(".kubernetes-cni-keep"))
        try write("", to: folders[4])
        try Folder.make(folders[5].appending("member"))
        try Folder.make(folders[6].appending("lost+found"))
        try write("{}", to: folders[6].appending("10-bridge.conflist"))
        #expect(Occupancy.occupied(folders) == [folders[5].string, folders[6].string])
    }

    @Test func findsRuntimesOfTheHostItself() throws {
        let scratch = try Scratch()
        let processes = scratch.path.appending("proc")
        func add(_ id: String, _ name: String?, space: String?) throws {
            let folder = processes.appending(id)
            try Folder.make(folder.appending("ns"))
            if let name { try write("\(name)\n", to: folder.appending("comm")) }
            if let space {
                #expect(symlink(space, folder.appending("ns/pid").string) == 0)
            }
        }
        try add("self", "sealer", space: "pid:[1]")
        try add("7", "containerd-shim", space: "pid:[1]")
        try add("8", "containerd", space: "pid:[2]")
        // It ended while it was looked at.
        try add("9", nil, space: nil)
        try add("10", "dockerd", space: nil)
        #expect(try Occupancy.runtimes(processes) == [])
        try add("11", "dockerd", space: "pid:[1]")
        try add("12", "containerd", space: "pid:[1]")
        try add("13", "containerd", space: "pid:[1]")
        #expect(try Occupancy.runtimes(processes) == ["containerd", "dockerd"])
    }
}
