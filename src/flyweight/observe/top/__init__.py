"""`flyweight top`: recorded processes, watched from outside by what they publish in their shared pages."""
