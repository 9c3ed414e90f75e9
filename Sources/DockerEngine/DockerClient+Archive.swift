import FoundationEssentials
import LinuxSystem
import NIOCore
import NIOHTTP1
import Report
import SystemPackage

extension DockerClient {
    /// Puts a file of this machine into a container; folders that are lacking are made.
    ///
    /// - Parameters:
    ///   - file: the file here.
    ///   - path: where it goes, absolute. Memory file systems of the container cannot be reached this way.
    /// - Throws: `Failure` of kind `notFound` for the file or the container.
    public func place(_ file: FilePath, in container: String, at path: FilePath, permissions: FilePermissions)
        async throws
    {
        guard path.isAbsolute, let name = path.relativeToRoot else {
            throw Failure(.software, "the path of a file to place must be absolute", at: path.string)
        }
        let source = try await BlockingPool.shared.run { try FileToSend(file) }
        let header = try SingleFileTar.header(name: name, size: source.size, permissions: permissions.rawValue)
        let trailer = SingleFileTar.trailer(size: source.size)
        let length = Int64(header.count) + source.size + Int64(trailer.count)
        let body = RequestBody.stream(type: "application/x-tar", length: length) { send in
            try await send(ByteBuffer(bytes: header))
            while let chunk = try await BlockingPool.shared.run({ try source.next() }) { try await send(chunk) }
            try await send(ByteBuffer(bytes: trailer))
        }
        try await self.send(
            .PUT,
            "/containers/\(Self.escape(container))/archive?path=%2F",
            body,
            purpose: "put \(path) into the container",
            place: container,
            limit: .seconds(300)
        )
    }
}

extension FilePath {
    /// The path without its first slash.
    fileprivate var relativeToRoot: String? {
        var copy = self
        copy.root = nil
        return copy.isEmpty ? nil : copy.string
    }
}
