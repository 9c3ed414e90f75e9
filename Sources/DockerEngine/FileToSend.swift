import Glibc
import NIOCore
import Report
import SystemPackage

/// A file that is read piece by piece. Its calls block.
final class FileToSend: Sendable {
    let size: Int64
    private let path: FilePath
    private let file: SystemPackage.FileDescriptor

    init(_ path: FilePath) throws {
        self.path = path
        do {
            file = try SystemPackage.FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        } catch Errno.noSuchFileOrDirectory {
            throw Failure(.notFound, "there is no such file", at: path.string)
        } catch {
            throw Failure(.system, "cannot open the file", at: path.string, causes: [error])
        }
        do {
            size = try file.seek(offset: 0, from: .end)
            try file.seek(offset: 0, from: .start)
        } catch {
            close(file.rawValue)
            throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
        }
    }

    deinit { close(file.rawValue) }

    func next() throws -> ByteBuffer? {
        var buffer = ByteBuffer()
        do {
            let count = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 18) {
                try file.read(into: $0)
            }
            return count == 0 ? nil : buffer
        } catch {
            throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
        }
    }
}
