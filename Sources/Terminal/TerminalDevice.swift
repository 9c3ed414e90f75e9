import Glibc

/// How large a terminal is, in characters.
public struct TerminalSize: Sendable, Equatable {
    /// Characters a line.
    public var columns: Int
    /// Lines.
    public var rows: Int

    /// Makes a size.
    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }
}

/// A terminal that can be drawn on.
public protocol TerminalDevice: TextOutput {
    /// Its size now; people change it as they go.
    var size: TerminalSize { get }
}

/// The terminal behind a descriptor.
public final class DescriptorTerminal: TerminalDevice {
    private let descriptor: Int32
    private let output: DescriptorOutput

    /// Makes a terminal of a descriptor, which stays open.
    public init(_ descriptor: Int32) {
        self.descriptor = descriptor
        output = DescriptorOutput(descriptor)
    }

    /// What the kernel knows of the window; 80 by 24 when it knows nothing.
    public var size: TerminalSize {
        var window = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0 else {
            return TerminalSize(columns: 80, rows: 24)
        }
        return TerminalSize(columns: Int(window.ws_col), rows: Int(window.ws_row))
    }

    /// Writes to the terminal.
    public func write(_ text: String) { output.write(text) }
}
