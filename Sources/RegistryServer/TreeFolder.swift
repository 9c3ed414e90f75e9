import Glibc
import LinuxSystem
import Report
import SystemPackage

/// Opens what lies below a folder, one component after the other and never through a link: whoever made the tree may have put
/// links into it. All calls block.
struct TreeFolder: Sendable {
    let root: FilePath

    /// Opens a file; nil when there is none, or something else.
    func file(_ components: [String]) throws -> (file: SystemPackage.FileDescriptor, size: Int64)? {
        guard let name = components.last, let folder = try folder(components.dropLast()) else { return nil }
        defer { Glibc.close(folder) }
        let descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return try Self.nothing(errno, at: root) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            Glibc.close(descriptor)
            return nil
        }
        return (SystemPackage.FileDescriptor(rawValue: descriptor), Int64(information.st_size))
    }

    /// Reads a small file; nil when there is none.
    func bytes(_ components: [String], limit: Int) throws -> [UInt8]? {
        guard let (file, size) = try file(components) else { return nil }
        return try file.closeAfter {
            guard size <= limit else {
                throw Failure(
                    .integrity, "the file has \(size) bytes, more than \(limit)",
                    at: components.reduce(root) { $0.appending($1) }.string)
            }
            var bytes = [UInt8](repeating: 0, count: Int(size))
            let count = try bytes.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: 0, into: $0) }
            return Array(bytes.prefix(count))
        }
    }

    /// The names in a folder, sorted; nil when there is none.
    func names(_ components: [String]) throws -> [String]? {
        guard let folder = try folder(components[...]) else { return nil }
        guard let stream = fdopendir(folder) else {
            let error = Errno(rawValue: errno)
            Glibc.close(folder)
            throw Failure(.system, "cannot read the folder", at: root.string, causes: [error])
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            // What is not text is no name that a registry has.
            if let name = String(validating: bytes, as: UTF8.self), name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private func folder(_ components: ArraySlice<String>) throws -> Int32? {
        let options = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        var folder = open(root.string, options)
        guard folder >= 0 else { return try Self.nothing(errno, at: root) }
        for component in components {
            guard !component.isEmpty, component != ".", component != "..", !component.contains("/") else {
                Glibc.close(folder)
                return nil
            }
            let next = openat(folder, component, options | O_NOFOLLOW)
            let error = errno
            Glibc.close(folder)
            guard next >= 0 else { return try Self.nothing(error, at: root) }
            folder = next
        }
        return folder
    }

    /// What is not there, and what is not what it should be, is nothing; any other trouble is an error.
    private static func nothing<Value>(_ error: Int32, at root: FilePath) throws -> Value? {
        guard [ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG].contains(error) else {
            throw Failure(
                .system, "cannot read the registry's files", at: root.string, causes: [Errno(rawValue: error)])
        }
        return nil
    }
}
