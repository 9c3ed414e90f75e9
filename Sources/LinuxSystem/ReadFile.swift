import FoundationEssentials
import Report
import SystemPackage

/// Reads a whole small file. Blocking.
///
/// - Parameter limit: the most bytes that are accepted.
/// - Throws: `Failure` of kind `notFound`, `denied`, `invalidInput` (too large) or `system`.
public func readFile(_ path: FilePath, limit: Int = 64 << 20) throws -> Data {
    let file: FileDescriptor
    do {
        file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
    } catch Errno.noSuchFileOrDirectory {
        throw Failure(.notFound, "there is no such file", at: path.string)
    } catch Errno.permissionDenied {
        throw Failure(.denied, "may not read the file", at: path.string)
    } catch {
        throw Failure(.system, "cannot open the file", at: path.string, causes: [error])
    }
    do {
        return try file.closeAfter {
            var data = Data()
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                guard count > 0 else { return data }
                guard data.count + count <= limit else {
                    throw Failure(.invalidInput, "the file is larger than \(limit) bytes", at: path.string)
                }
                data.append(contentsOf: buffer[..<count])
            }
        }
    } catch let error as Errno {
        throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
    }
}
