import Glibc
import LinuxSystem
import Report
import SystemPackage

/// What a host has already of what a cluster would take over: images' scripts overwrite it, and empty it when the host leaves.
enum Occupancy {
    /// The folders that are looked at.
    static let folders: [FilePath] = ["/etc/cni/net.d", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet"]
    /// The runtimes' processes, by the names that the kernel gives them.
    private static let runtimeNames = ["containerd", "dockerd"]
    /// What a file system of its own has, and what packages put into a folder so that it stays.
    private static let nothings: Set<String> = ["lost+found", ".kubernetes-cni-keep"]

    /// The folders that are not empty.
    static func occupied(_ folders: [FilePath] = folders) -> [String] {
        folders.filter(isOccupied).map(\.string)
    }

    private static func isOccupied(_ folder: FilePath) -> Bool {
        guard Folder.exists(folder) else { return false }
        do {
            return try !nothings.isSuperset(of: Folder.names(in: folder))
        } catch let failure as Failure where failure.kind == .notFound {
            return false
        } catch {
            // Of what cannot be read nobody can say that it is nothing.
            return true
        }
    }

    /// The runtimes that run. Those of containers, which see other processes than the host does, are the containers' own business.
    ///
    /// - Parameter processes: where the kernel shows processes.
    static func runtimes(_ processes: FilePath = "/proc") throws -> [String] {
        let own = link(processes.appending("self/ns/pid"))
        var found: Set<String> = []
        for id in try Folder.names(in: processes) where id.allSatisfy(\.isWholeNumber) {
            let process = processes.appending(id)
            guard let name = name(of: process), link(process.appending("ns/pid")) == own else { continue }
            found.insert(name)
        }
        return found.sorted()
    }

    /// The name of a process that is a runtime; nil for all others, and for one that has ended meanwhile.
    private static func name(of process: FilePath) -> String? {
        do {
            let text = String(decoding: try readFile(process.appending("comm"), limit: 4096), as: UTF8.self)
            return runtimeNames.first { text == "\($0)\n" }
        } catch {
            return nil
        }
    }

    /// Where a link leads; nil when there is none.
    private static func link(_ path: FilePath) -> String? {
        var target = [CChar](repeating: 0, count: 256)
        let count = readlink(path.string, &target, target.count)
        guard count > 0 else { return nil }
        return String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
